/** What the command line uses of the dashboard. */
export { createDashboard, type DashboardOptions, type WriteOptions } from './app.js';
export { loadDashboardAssets } from './assets.js';
export { listen, parseListen, type ListenAddress, type Listening } from './listen.js';
export { openApiDocument } from './openapi.js';
export type { IngestQuery } from './query.js';
export { writeStaticSite, type StaticSite, type StaticSiteOptions } from './static-site.js';
export { addWebhook, type WebhookIntake, type WebhookOptions } from './webhook.js';
export { createReadPool } from './read-pool.js';
export { warmPages } from './warm.js';
