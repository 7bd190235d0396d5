import { O } from '../../src/sys/index.js';
import { dir, file } from './lowers.js';
import { as, op } from './ops.js';
import { capability } from './random-layers.js';
import { runSequence } from './random-run.js';
import { kernel, lamina } from './subject.js';

const s = (ops: any) => ({
  seed: 1,
  variant: { options: ['index=off'], prefix: 'trusted' as const, otherFs: false, vagueIdentity: true },
  lowers: [
    {
      f: dir(),
      'f/e': file('h80', {
        uid: 1000,
        gid: 1000,
        xattrs: { 'user.d': '', 'security.capability': capability },
      }),
    },
  ],
  upper: {},
  ops,
});
for (const subj of [kernel, lamina])
  for (const ops of [
    [
      as(1000, 1000, op('open', 'r', 'f/e', O.RDWR | O.CREAT)),
      op('getxattr', 'f/e', 'security.capability'),
      op('listxattr', 'f/e'),
    ],
    [
      op('getxattr', 'f/e', 'security.capability'),
      op('chmod', 'f/e', 0o755),
      op('getxattr', 'f/e', 'security.capability'),
    ],
    [op('rename', 'f/e', 'g'), op('lstat', 'g'), op('listxattr', 'g')],
  ])
    console.log(subj.name, JSON.stringify((await runSequence(s(ops), subj)).finding));
