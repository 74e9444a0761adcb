export { CLOCK_IS_SET, SEED_LABEL, SETUP_FILE, renderSeed, type SeedInput, type SeedNetwork } from './render-seed.js';
