export { createContainerDriver, type ContainerDriverOptions } from './container-driver.js';
export { DOCKER, PODMAN, type EngineTraits } from './engines.js';
export { candidateSubnets, cidrsOverlap } from './subnets.js';
