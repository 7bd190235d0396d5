// The notes about mounted volumes, as other processes read them.
import t from 'tap';
import { findMounts, Place } from '../../src/export/volumemount-state.js';
import { scratch } from '../support/cleanup.js';

t.test('mounts are listed by mount point, whatever their directories are called', async t => {
  const dir = scratch(t, 'mounts').dir;
  const mountpoints = ['/mnt/a', '/mnt/b', '/mnt/c', '/mnt/d', '/mnt/e', '/mnt/f'];
  const places = [...mountpoints]
    .reverse()
    .map((mountpoint, id) =>
      Place.create(dir, { pool: '/pool', volume: `v${id}`, id, mountpoint, device: '' }),
    );
  t.same(
    findMounts(dir).map(({ mountpoint, alive }) => [mountpoint, alive]),
    mountpoints.map(mountpoint => [mountpoint, true]),
  );
  for (const place of places) place.remove();
  t.same(findMounts(dir), []);
});
