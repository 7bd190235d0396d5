// A power cut: the upper lies on an ext4 image, and a copy of the image file, taken with nothing synced, is what the disk
// would hold. What was fsynced must be there, and what is visible must be whole. Over lamina and over kernel overlayfs.
import t from 'tap';
import { kinds } from '../support/daemon.js';
import { type Stage, setStage } from '../support/daemon-stage.js';
import { tree } from '../support/daemon-tree.js';

const LAYERS = `mkdir -p l1/d/e; head -c 2M /dev/urandom >l1/d/big; cp l1/d/big l1/d/e/other; echo old >l1/d/small
  truncate -s 48M image; mkfs.ext4 -q image; mkdir disk; mount -o loop,commit=3600 image disk`;

interface Cut {
  readonly name: string;
  readonly change: string;
  /** The change may also be missing altogether: nobody asked for it to be durable. */
  readonly mayBeLost?: boolean;
}

// Committing the journal makes all names durable, of file contents only what was flushed: the moment at which a copy-up
// that was not fsynced before it became visible would show an empty file.
const COMMIT = 'echo x >../disk/other; sync ../disk/other';

const CUTS: readonly Cut[] = [
  { name: 'appended to a lower file and fsynced', change: 'echo more >>d/big; sync d/big' },
  { name: 'a lower file copied up by chmod, its directory fsynced', change: 'chmod 600 d/big; sync d' },
  { name: 'copied up by chmod, then any commit', change: `chmod 600 d/e/other; ${COMMIT}`, mayBeLost: true },
  { name: 'copied up by rename, then any commit', change: `mv d/big moved; ${COMMIT}`, mayBeLost: true },
  { name: 'replaced by a synced file', change: 'echo new >n; sync n; mv n d/small; sync d' },
  { name: 'removed, its directory fsynced', change: 'rm d/small; sync d' },
  {
    name: 'a directory made again and fsynced',
    change: 'rm -r d/e; mkdir d/e; echo n >d/e/n; sync d/e/n d/e d',
  },
];

function cut(stage: Stage, { name, change, mayBeLost }: Cut): void {
  const { t } = stage;
  stage.mount();
  const before = tree(stage.mnt);
  stage.in(change);
  const after = tree(stage.mnt);
  stage.sh('cp --sparse=always image after');
  stage.umount();
  stage.sh('umount disk; mount -o loop after disk');
  stage.mount();
  const survived = tree(stage.mnt);
  if (mayBeLost && survived.join('\n') === before.join('\n')) t.pass(`${name}: the old tree`);
  else t.strictSame(survived, after, name);
  stage.umount();
  stage.sh('umount disk; mount -o loop,commit=3600 image disk; rm -f after; rm -rf $U $W; mkdir $U $W');
}

for (const kind of kinds) {
  void t.test(`${kind.name} over a power cut`, async t => {
    const stage = setStage(t, kind, { layers: LAYERS, upperIn: 'disk' });
    for (const each of CUTS) cut(stage, each);
  });
}
