// Images made from nothing, without a network: each layer is what a script makes of an empty directory, and Debian's busybox
// is the first. The result is a tar in Docker's format (`docker save`), which every engine loads.
import { createHash } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import type { Scratch } from './cleanup.js';
import { sh } from './daemon.js';

/** Busybox and the directories that a container needs. */
export const BUSYBOX = `
mkdir -p bin dev etc proc sys tmp root
chmod 1777 tmp
cp "$(command -v busybox)" bin/busybox
bin/busybox --list | grep -vx busybox | while read -r name; do ln -s busybox bin/$name; done
echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd`;

/** Makes the image `reference`; each script runs in its layer's directory, and makes it. The path of its tar. */
export function makeImage(s: Scratch, reference: string, layers: readonly string[]): string {
  const name = `image-${createHash('sha256').update(reference).digest('hex').slice(0, 8)}`;
  const dir = s.mkdir(name);
  const tars = layers.map((script, i) => {
    const layer = s.mkdir(name, `layer${i}`);
    sh(script, { cwd: layer });
    const tar = `${i}.tar`;
    // Times are not the same in two layers that two images share, unless they are said.
    sh(
      `tar --numeric-owner --xattrs --xattrs-include='*' --sort=name --mtime=@1700000000 --pax-option=delete=atime,delete=ctime -C "${layer}" -cf ${tar} .`,
      {
        cwd: dir,
      },
    );
    return tar;
  });
  const digest = (tar: string) =>
    `sha256:${createHash('sha256')
      .update(readFileSync(`${dir}/${tar}`))
      .digest('hex')}`;
  writeFileSync(
    `${dir}/config.json`,
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: { Cmd: ['/bin/sh'], Env: ['PATH=/bin'] },
      rootfs: { type: 'layers', diff_ids: tars.map(digest) },
    }),
  );
  const manifest = [{ Config: 'config.json', RepoTags: [reference], Layers: tars }];
  writeFileSync(`${dir}/manifest.json`, JSON.stringify(manifest));
  const path = s.path(`${name}.tar`);
  sh(`tar -cf "${path}" manifest.json config.json ${tars.join(' ')}`, { cwd: dir });
  if (statSync(path).size === 0) throw new Error(`${path} is empty`);
  return path;
}
