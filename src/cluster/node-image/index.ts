export {
  buildImage,
  composeImage,
  type BuildImageOptions,
  type BuiltImage,
  type ComponentImage,
  type ImageLayer,
} from './component-image.js';
export { writeImageArchive } from './image-archive.js';
export {
  factsSchema,
  IMAGE_ENGINES,
  LAYERS_FOLDER,
  type EnsureNodeImageOptions,
  type ImageEngine,
  type NodeImage,
  type NodeImageFacts,
  type NodeImageStore,
} from './model.js';
export { createNodeImageStore, type NodeImageStoreOptions } from './store.js';
export { writeRootLayer } from './root-layer.js';
export { withParents, writeTar, type TarContent, type TarEntry } from './tar.js';
