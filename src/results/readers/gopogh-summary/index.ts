export { createGopoghSummaryReader } from './reader.js';
