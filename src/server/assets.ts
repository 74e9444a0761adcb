import { createAssetLoader } from '../report/index.js';

/** Script and style of the dashboard; throws as that of the report page does. */
export const loadDashboardAssets = createAssetLoader(import.meta.dirname);
