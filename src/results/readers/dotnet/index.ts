export { createNunitReader } from './nunit.js';
export { createTrxReader } from './trx.js';
export { createXunitReader } from './xunit.js';
