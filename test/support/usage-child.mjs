// A mount in a process of its own that says what its upper holds. Arguments: the compiled sources, what UnionConfig asks
// beyond the defaults as JSON, the mount point. Says "ready", answers each line on stdin with usage() as JSON, and ends with
// the mount.
import { createInterface } from 'node:readline';

const [dist, config, mountpoint] = process.argv.slice(2);
const { defaultConfig, mountUnion } = await import(`${dist}/union/index.js`);
const mounted = await mountUnion({ ...defaultConfig(), ...JSON.parse(config) }, mountpoint);
createInterface({ input: process.stdin }).on('line', () => {
  process.stdout.write(`${JSON.stringify({ ...mounted.usage(), passthrough: mounted.passthrough })}\n`);
});
process.stdout.write('ready\n');
await mounted.closed;
process.stdin.destroy();
