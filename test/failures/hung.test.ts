// A layer whose own server has stopped answering: who looks into it waits, and with request_timeout gets an error; another
// mount goes on meanwhile.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { scratch } from '../support/cleanup.js';
import { kinds, sh } from '../support/daemon.js';

t.test('request_timeout ends the mount whose layer hangs, and no other', async t => {
  const [lamina] = kinds.filter(({ name }) => name === 'lamina');
  const s = scratch(t, 'hung');
  sh('mkdir real hung mnt other; echo x >real/f', { cwd: s.dir });
  // A process of its own that we may stop: the union below must not answer for a moment.
  const server = spawn('fuse-overlayfs', ['-f', '-o', `lowerdir=${s.path('real')}`, s.path('hung')], {
    stdio: 'ignore',
  });
  sh('until mountpoint -q hung; do sleep 0.02; done', { cwd: s.dir });
  const view = { lowers: [s.path('hung')], mountpoint: s.path('mnt'), options: ['request_timeout=1'] };
  lamina!.mount(view);
  const other = lamina!.mount({ lowers: [s.path('real')], mountpoint: s.path('other') });
  server.kill('SIGSTOP');
  s.defer(() => server.kill('SIGKILL'));
  const reader = spawn('cat', [s.path('mnt/f')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  reader.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  const ended = once(reader, 'close');
  t.equal(sh('cat other/f', { cwd: s.dir }), 'x\n', 'another mount answers');
  await ended;
  t.match(said, /Software caused connection abort|Transport endpoint is not connected|Connection aborted/);
  t.equal(sh('cat other/f; umount mnt', { cwd: s.dir }), 'x\n');
  server.kill('SIGCONT');
  sh('fusermount3 -u hung', { cwd: s.dir });
  await once(server, 'exit');
  other.umount();
});
