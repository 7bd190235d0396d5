// The process behind a mounted volume, for tests that kill it. Arguments: the compiled sources, pool, volume, mount point,
// VolumeMountOptions as JSON. Says "ready" when it is mounted; SIGTERM unmounts, and when that is refused says why.
const [dist, dir, name, mountpoint, options] = process.argv.slice(2);
const { mountVolume } = await import(`${dist}/export/volumemount.js`);
const { Pool } = await import(`${dist}/thin/index.js`);
const pool = await Pool.open(dir);
const finished = () => pool.close();
const mount = await mountVolume(pool, name, mountpoint, { ...JSON.parse(options), finished });
process.on('SIGTERM', () => {
  mount.unmount().catch(error => process.stdout.write(`${error.message}\n`));
});
process.stdout.write('ready\n');
await mount.closed;
