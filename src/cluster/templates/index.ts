export { createTemplates, templateKey, type Templates } from './templates.js';
