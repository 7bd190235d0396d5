// How a trial is run: what it printed, what went wrong, and an end to one that takes too long.
import t from 'tap';
import { run } from '../../bench/shell.js';

t.test('its output, or what it said', async t => {
  t.equal(await run(['echo', '7']), '7\n');
  await t.rejects(run(['sh', '-c', 'echo no >&2; exit 3']), { message: 'no' });
  await t.rejects(run(['false']), { message: 'status 1' });
  await t.rejects(run(['sh', '-c', 'kill -9 $$']), { message: 'killed by SIGKILL' });
});

t.test('one that takes too long is ended', async t => {
  await t.rejects(run(['sleep', '3600'], { limit: 50 }), { message: 'took longer than 0.05 s' });
});
