export { SEED_LABEL, SETUP_FILE, renderSeed, type SeedInput } from './render-seed.js';
