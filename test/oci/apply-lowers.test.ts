// A layer tar in its surroundings: what the layers under it say of directories that it leaves out, and owners that are a user
// namespace's.
import { createReadStream, writeFileSync } from 'node:fs';
import t from 'tap';
import { applyLayerTar, layerTar } from '../../src/oci/index.js';
import { scratch } from '../support/cleanup.js';
import { sh } from './stage.js';

void t.test('a directory that the tar goes through is what it is in the layers below', async t => {
  const { dir } = scratch(t, 'oci-apply');
  sh(
    dir,
    `mkdir -p lower/a/b/c lower/gone/d lower2/a/e upper; chown 5:6 lower/a; chmod 1770 lower/a; setfattr -n user.x -v 1 lower/a/b
    chmod 700 lower/a/b lower2/a/e lower/gone/d; touch -d @1500000000 lower/a
    mkdir -p tree/a/b/new tree/a/e tree/gone/d tree/own/x; echo 1 >tree/a/b/f; echo 2 >tree/a/e/f; echo 3 >tree/gone/d/f; echo 4 >tree/own/x/f
    touch tree/gone/.wh..wh..opq
    tar -C tree -cf x.tar a/b/f a/e/f gone/.wh..wh..opq gone/d/f own/x/f`,
  );
  await applyLayerTar(createReadStream(`${dir}/x.tar`), `${dir}/upper`, {
    lowers: [`${dir}/lower`, `${dir}/lower2`],
  });
  t.equal(
    sh(
      dir,
      'cd upper; stat -c "%n %a %u:%g" a a/b a/e gone/d own/x; stat -c %Y a; getfattr -n user.x --only-values a/b',
    ),
    'a 1770 5:6\na/b 700 0:0\na/e 700 0:0\ngone/d 755 0:0\nown/x 755 0:0\n1500000000\n1',
  );
});

void t.test('owners of a user namespace', async t => {
  const { dir } = scratch(t, 'oci-apply');
  const range = [{ inside: 0, outside: 100000, count: 65536 }];
  const ids = { uids: range, gids: range };
  sh(
    dir,
    'mkdir tree upper other; chown 100000:100000 upper other; echo x >tree/f; mkdir tree/d; chown 7:8 tree/f; chown 65535:0 tree/d; tar -C tree -cf x.tar d f',
  );
  await applyLayerTar(createReadStream(`${dir}/x.tar`), `${dir}/upper`, { ids });
  t.equal(sh(dir, 'cd upper; stat -c "%n %u:%g" *'), 'd 165535:100000\nf 100007:100008\n');
  const pieces: Buffer[] = [];
  for await (const piece of layerTar(`${dir}/upper`, { ids, lowers: [`${dir}/other`] })) pieces.push(piece);
  writeFileSync(`${dir}/y.tar`, Buffer.concat(pieces));
  t.match(sh(dir, 'tar -tvf y.tar --numeric-owner'), /65535\/0 .* d\/\n.* 7\/8 .* f\n/);
  sh(dir, 'chown 70000 tree/f; tar -C tree -cf x.tar f');
  await t.rejects(
    applyLayerTar(createReadStream(`${dir}/x.tar`), `${dir}/other`, { ids }),
    /'f': the user namespace has no id 70000/,
  );
});
