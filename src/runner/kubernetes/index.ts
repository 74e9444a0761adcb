export { checkCells, executeOnKubernetes, type KubernetesRunOptions } from './engine.js';
export { createJobApi, type JobApi } from './jobs.js';
export { ASSIGNMENT_FILE, CONFIG_FILE, jobNameOf, parseAssignment, type Assignment } from './manifest.js';
export { createSender } from './send.js';
export { type PodEnd } from './frames.js';
export { buildEngineImage } from './engine-image.js';
