import { openFlakeStore } from './open.js';
import { describeStoreContract } from './store-contract.test-kit.js';

describeStoreContract('SQLite', async () => await openFlakeStore(':memory:'));
