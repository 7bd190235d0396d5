// The demo's layers, and what it looks at: trees as lines, and their hashes.
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** Makes three layers below `base`, of files that this host has anyway; returns their paths, topmost first. */
export function makeLayers(base: string): string[] {
  const [app, tools, system] = ['layer-3-app', 'layer-2-tools', 'layer-1-system'].map(name =>
    join(base, name),
  );
  put(system!, 'etc/motd', 'Welcome.\n');
  put(system!, 'usr/share/texts/README', 'Texts that came with the system.\n');
  for (const [from, to] of [
    ['/etc/os-release', 'etc/os-release'],
    ['/usr/share/common-licenses', 'usr/share/texts/licences'],
  ] as const) {
    if (existsSync(from)) cpSync(from, join(system!, to), { recursive: true, dereference: true });
  }
  put(
    tools!,
    'usr/bin/hello',
    '#!/bin/sh\n. "$(dirname "$0")/../../etc/hello.conf"\necho "$GREETING, $(id -un)"\n',
    0o755,
  );
  put(tools!, 'etc/hello.conf', 'GREETING=Hello\n');
  put(app!, 'etc/hello.conf', 'GREETING="Good morning"\n');
  put(app!, 'srv/www/index.html', '<h1>It works</h1>\n');
  put(app!, 'srv/www/style.css', 'h1 { color: teal }\n');
  return [app!, tools!, system!];
}

function put(layer: string, path: string, text: string, mode = 0o644): void {
  mkdirSync(dirname(join(layer, path)), { recursive: true });
  writeFileSync(join(layer, path), text, { mode });
}

/** Every path below `root` with what it is and holds, sorted: equal lines, equal trees. */
export function treeLines(root: string): string[] {
  const names = readdirSync(root, { recursive: true, encoding: 'utf8' }).sort();
  return names.map(name => {
    const path = join(root, name);
    const stat = lstatSync(path);
    const held = stat.isFile() ? sha256(readFileSync(path)) : stat.isSymbolicLink() ? readlinkSync(path) : '';
    const size = stat.isDirectory() ? '' : `${stat.size}`;
    return `${name} ${stat.mode.toString(8)} ${stat.uid}:${stat.gid} ${size} ${stat.mtimeMs} ${held}`;
  });
}

/** One short hash of a whole tree: names, attributes and contents. */
export function treeHash(root: string): string {
  return sha256(Buffer.from(treeLines(root).join('\n'))).slice(0, 16);
}

function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}
