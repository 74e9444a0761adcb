export { createJestJsonReader, createVitestJsonReader } from './jest-like.js';
export { createMochaJsonReader } from './mocha.js';
export { createPlaywrightJsonReader } from './playwright.js';
