export type { NbdExport } from './export.js';
export type { Address } from './listener.js';
export { NbdServer, type NbdServerOptions } from './server.js';
