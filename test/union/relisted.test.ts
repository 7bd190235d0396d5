// Listings for whoever wants attributes too (READDIRPLUS): of lower files that the kernel has and keeps, it is told no more than
// the names, and nothing is asked for them.
import t from 'tap';
import { Stat } from '../../src/base/index.js';
import type { DirSink } from '../../src/fuse/index.js';
import { defaultConfig, Union } from '../../src/union/index.js';
import { laminafs } from '../support/daemon.js';
import { setStage } from '../support/daemon-stage.js';

const ROOT = { uid: 0, gid: 0, pid: 1, umask: 0 };
const LAYERS = 'mkdir l1/d; echo a >l1/d/a; echo b >l1/d/b; mkdir l1/d/sub; ln l1/d/a l1/d/link';

/** Names in their order, each with what came along: '+' attributes. */
function listed(union: Union, dir: Parameters<Union['opendir']>[0]): string[] {
  const names: string[] = [];
  const take = (text: string): boolean => names.push(text) > 0;
  const sink: DirSink<never> = {
    wantsNodes: true,
    entry: name => name.startsWith('.') || take(name),
    plus: name => take(`${name}+`),
  };
  const handle = union.opendir(dir);
  void union.readdir(handle, 0, sink);
  union.releasedir(handle);
  return names.sort();
}

for (const [timeout, again] of [
  [1e9, ['a', 'b+', 'link', 'sub']],
  [1, ['a+', 'b+', 'link+', 'sub+']],
] as const) {
  void t.test(`a directory that is listed twice, with attributes that hold ${timeout} s`, async t => {
    const { lowers, upper, work } = setStage(t, laminafs, { layers: LAYERS });
    const timeouts = { entry: timeout, attr: timeout, negative: timeout };
    const union = Union.open({ ...defaultConfig(), lowers, upper, work, timeouts });
    const d = union.lookup(union.root, 'd', new Stat())!;
    t.same(listed(union, d), ['a+', 'b+', 'link+', 'sub+']);
    await union.setattr(ROOT, union.lookup(d, 'b', new Stat())!, null, { mode: 0o600 }, new Stat());
    t.same(listed(union, d), again);
    await union.destroy();
  });
}
