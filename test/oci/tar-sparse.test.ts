// Sparse members as GNU tar writes them, in both forms that it has: the file comes back, with its holes.
import { createReadStream } from 'node:fs';
import t from 'tap';
import { applyLayerTar } from '../../src/oci/index.js';
import { scratch } from '../support/cleanup.js';
import { sh } from './stage.js';

const FILES = `truncate -s 5M end; printf end >>end; truncate -s 3G hole; printf start >start; truncate -s 1M start
  for i in $(seq 0 2 120); do printf "stretch $i" | dd of=many bs=8k seek=$i conv=notrunc status=none; done
  head -c 70000 /dev/urandom >plain; mkdir -p d/${'long-name/'.repeat(15)}; cp --sparse=always many d/${'long-name/'.repeat(15)}many`;

for (const format of ['gnu', 'posix', 'oldgnu'])
  void t.test(`tar --sparse --format=${format}`, async t => {
    const { dir } = scratch(t, 'oci-sparse');
    sh(
      dir,
      `mkdir src out; cd src; ${FILES}; chown 70000:7 many; cd ..; tar -C src -S --format=${format} -cf x.tar .`,
    );
    const result = await applyLayerTar(createReadStream(`${dir}/x.tar`), `${dir}/out`);
    t.same(result.notes, []);
    t.equal(sh(dir, 'rsync -rnicogt src/ out/'), '', 'the same data and owners');
    t.ok(Number(sh(dir, 'du -sk out | cut -f1')) < 3000, 'and the holes');
    t.ok(Number(sh(dir, 'stat -c %s x.tar')) < 3e6);
  });
