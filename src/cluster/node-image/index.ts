export { buildImage, type BuildImageOptions, type BuiltImage, type ComponentImage } from './component-image.js';
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
export type { TarContent, TarEntry } from './tar.js';
