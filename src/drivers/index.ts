export { serveSnapshots, statusOf } from './containerd-server.js';
export { type SnapshotTable, type SnapshotterOptions, snapshotter } from './containerd-snapshots.js';
export { type GraphOptions, graphDriver } from './docker-graph.js';
export { type MethodTable, servePlugin } from './docker-server.js';
export { volumeDriver } from './docker-volumes.js';
export type { Driver, DriverObserver, Listening } from './driver.js';
export { CallLimit } from './limit.js';
