// Lower files that are open but have not been read: where nobody reads what is opened, the real file is opened with the first
// READ, whatever has become of the file until then.
import { readdirSync } from 'node:fs';
import t from 'tap';
import { Stat } from '../../src/base/index.js';
import { O } from '../../src/sys/index.js';
import type { Union } from '../../src/union/index.js';
import { laminafs } from '../support/daemon.js';
import { eachKind, openUnion, setStage } from '../support/daemon-stage.js';

type Handle = Parameters<Union['read']>[0];

const ROOT = { uid: 0, gid: 0, pid: 1, umask: 0 };
const MANY = 'mkdir l1/many; for i in {0..199}; do echo $i >l1/many/$i; done';

const LAYERS = `${MANY}; mkdir -p l1/d/e; for f in kept grown cut gone moved mode linked replaced d/e/inner; do echo "old $f" >l1/$f; done
  ln l1/linked l1/link; truncate -s 100M l1/large; printf end >>l1/large`;

void eachKind(t, 'what befalls files between open and the first read', { layers: LAYERS }, stage => {
  const seen = stage.python(`
for i in range(200): os.close(os.open(f'many/{i}', os.O_RDONLY))
names = ['kept', 'grown', 'cut', 'gone', 'moved', 'mode', 'linked', 'replaced', 'd/e/inner', 'large']
fds = {n: os.open(n, os.O_RDONLY) for n in names}
with open('grown', 'a') as f: f.write('more')
os.truncate('cut', 3)
os.unlink('gone')
os.rename('moved', 'elsewhere')
os.chmod('mode', 0)
with open('link', 'a') as f: f.write('by its other name')
with open('new', 'w') as f: f.write('new')
os.rename('new', 'replaced')
os.unlink('d/e/inner'); os.rmdir('d/e'); os.rename('d', 'dd'); os.rmdir('dd')
for n, fd in fds.items():
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    last = os.lseek(fd, -20, os.SEEK_END) if n == 'large' else 0
    print(n, os.pread(fd, 100, last).lstrip(b'\\0'), os.fstat(fd).st_size)
    with open(f'/proc/self/fd/{fd}', 'rb') as f: print(f.read(12))`);
  stage.t.match(seen, /^kept b'old kept\\n' 9\n/);
  stage.t.match(seen, /^grown b'old grown\\nmore' 14$/m);
  stage.t.match(seen, /^gone b'old gone\\n' 9$/m);
  stage.t.match(seen, /^replaced b'old replaced\\n' 13$/m);
  stage.t.match(seen, /^d\/e\/inner b'old d\/e\/inner\\n' 14$/m);
  stage.t.match(seen, /^large b'end' 104857603$/m);
});

void t.test('who opens and reads is told from who only opens', async t => {
  const stage = setStage(t, laminafs, { layers: MANY });
  const union = openUnion(stage);
  const out = new Stat();
  const many = union.lookup(union.root, 'many', out)!;
  const into = Buffer.alloc(100);
  let next = 0;
  const open = async () => union.open(ROOT, union.lookup(many, `${next++}`, out)!, O.RDONLY, false);
  const openReal = (): number => readdirSync('/proc/self/fd').length;
  const read = async (handle: Handle): Promise<string> =>
    into.toString('latin1', 0, await union.read(handle, 0, into.length, into, 0));

  const first = await open();
  t.equal(
    first.preload?.toString(),
    '0\n',
    'at first files are taken to be read: the content comes with the open',
  );
  union.release(first.handle);
  while (next < 100) union.release((await open()).handle);
  const before = openReal();
  const some = await Promise.all([open(), open(), open()]);
  t.same(
    some.map(one => one.preload),
    [undefined, undefined, undefined],
    'nothing was read: nothing is given',
  );
  t.equal(openReal(), before, 'and nothing opened');
  t.equal(await read(some[0]!.handle), '100\n');
  t.equal(openReal(), before + 1, 'until it is read');
  const content = await open();
  t.equal(content.preload?.toString(), '103\n', 'from then on files are read again');
  for (const { handle } of [...some, content]) union.release(handle);
  t.equal(openReal(), before);
  await union.destroy();
});
