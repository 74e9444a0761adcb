export { createSnapshots, type SnapshotInfo, type Snapshots } from './snapshots.js';
