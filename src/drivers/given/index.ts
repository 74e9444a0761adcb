export { CLAIM_FILE, parseClaim } from './claim.js';
export {
  HOST_FOLDER,
  KIT_FILE,
  KIT_IMAGES,
  PAYLOAD_FOLDER,
  describeChanges,
  kitSchema,
  readKit,
  type Footprint,
  type Kit,
} from './footprint.js';
export {
  NO_CONFLICTS,
  askHost,
  createGivenMachines,
  type GivenHost,
  type GivenHosts,
  type GivenMachinesOptions,
  type HostUse,
} from './given-machines.js';
export { judgeHost } from './host-facts.js';
