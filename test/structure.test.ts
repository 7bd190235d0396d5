// The house, as executable rules: which room may import which, that rooms are entered by their index.ts, that files and
// functions stay short, that a format's literal lives in one file, and that nothing lies about unused.
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import ts from 'typescript';
import { filesBelow, lineCount, parseSource, type SourceFile, textOf, top } from './support/source.js';

/** Room to the rooms it may import (the table in the design). */
const ROOMS: Record<string, readonly string[]> = {
  base: [],
  sys: ['base'],
  fuse: ['base', 'sys'],
  layer: ['base', 'sys'],
  thin: ['base', 'sys'],
  nbd: ['base', 'sys'],
  union: ['base', 'sys', 'layer', 'fuse'],
  oci: ['base', 'sys', 'layer'],
  export: ['base', 'sys', 'thin', 'fuse', 'nbd'],
  store: ['base', 'sys', 'layer', 'union', 'oci', 'thin', 'export'],
  drivers: ['base', 'sys', 'store'],
  cli: ['base', 'sys', 'fuse', 'layer', 'thin', 'nbd', 'union', 'oci', 'export', 'store', 'drivers'],
};

/** Packages to the rooms that may import them. */
const PACKAGES: Record<string, readonly string[]> = {
  'better-sqlite3': ['sys'],
  'fuse-native': ['fuse'],
  sax: ['thin'],
  commander: ['cli'],
  'cli-progress': ['cli'],
  pino: ['cli'],
  'prom-client': ['cli'],
  '@grpc/grpc-js': ['drivers'],
  '@grpc/proto-loader': ['drivers'],
};

/** Spellings of formats: each may occur in string literals of one file only. */
const LITERALS: Record<string, RegExp> = {
  'whiteout prefix': /\.wh\./,
  'privileged overlay attributes': /trusted\.overlay/,
  'user overlay attributes': /user\.overlay/,
  'fuse-overlayfs attributes': /user\.fuseoverlayfs/,
  'owner override attributes': /override_stat/,
  'the FUSE device': /^\/dev\/fuse$/,
  'tar attributes': /SCHILY/,
  'the addon': /lamina\.node/,
  'mount table': /mountinfo/,
};

const MAX_FILE = 400;
const MAX_FUNCTION = 70;
const MAX_README = 60;

const sources: SourceFile[] = filesBelow('src', '.ts').map(path => parseSource(path));
const byPath = new Map(sources.map(source => [source.path, source]));

/** The room of a file, or null for src/index.ts. */
function roomOf(path: string): string | null {
  const parts = path.split('/');
  return parts.length > 2 ? parts[1]! : null;
}

const rooms = [...new Set(sources.map(source => roomOf(source.path)))].filter(room => room !== null);

t.test('every folder of src is a room of the table', async t => {
  t.ok(sources.length > 0);
  for (const room of rooms) t.ok(room in ROOMS, room);
  t.same(
    sources.filter(source => roomOf(source.path) === null).map(source => source.path),
    ['src/index.ts'],
  );
});

t.test('imports only go down, and enter a room by its index.ts', async t => {
  for (const source of sources) {
    const room = roomOf(source.path);
    for (const { specifier, target } of source.imports) {
      if (target === null) continue;
      t.ok(byPath.has(target), `${source.path}: ${specifier} exists`);
      const to = roomOf(target);
      // src/index.ts and cli/ are one floor.
      if (to === room || (to === null && room === 'cli') || (room === null && to === 'cli')) continue;
      t.ok(
        room === null || (to !== null && ROOMS[room]!.includes(to)),
        `${source.path}: ${room ?? 'src'} may import ${to}`,
      );
      t.equal(target, `src/${to}/index.ts`, `${source.path}: ${specifier} goes through index.ts`);
    }
  }
});

t.test('no file imports its own room by index.ts', async t => {
  for (const source of sources) {
    const own = `src/${roomOf(source.path)}/index.ts`;
    t.notOk(
      source.imports.some(({ target }) => target === own && source.path !== own),
      source.path,
    );
  }
});

t.test('packages stay in their rooms', async t => {
  for (const source of sources) {
    for (const { specifier, target } of source.imports) {
      if (target !== null || specifier.startsWith('node:')) continue;
      t.ok(
        PACKAGES[specifier]?.includes(roomOf(source.path) ?? ''),
        `${source.path} may import ${specifier}`,
      );
    }
  }
});

t.test('only sys loads native code', async t => {
  for (const source of sources) {
    const loads = source.text.includes('createRequire') || source.text.includes('process.dlopen');
    t.notOk(loads && roomOf(source.path) !== 'sys', source.path);
  }
});

t.test('an index.ts only re-exports', async t => {
  for (const room of rooms) {
    if (room === 'cli') continue;
    const index = byPath.get(`src/${room}/index.ts`);
    t.ok(index, `src/${room}/index.ts exists`);
    const others = index?.tree.statements.filter(
      node => !(ts.isExportDeclaration(node) && node.moduleSpecifier),
    );
    t.same(
      others?.map(node => node.getText()),
      [],
      `src/${room}/index.ts`,
    );
  }
});

t.test('every file is reached from the library, the command or its native client', async t => {
  const reached = new Set<string>();
  const visit = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const { target } of byPath.get(path)?.imports ?? []) if (target !== null) visit(target);
  };
  visit('src/index.ts');
  visit('src/cli/main.ts');
  const client = textOf('native/mount-client.cc');
  for (const [, name] of client.matchAll(/dist\/cli\/([\w-]+)\.js/g)) visit(`src/cli/${name}.ts`);
  for (const { path } of sources) t.ok(reached.has(path), path);
});

t.test('a format has one home', async t => {
  for (const [name, pattern] of Object.entries(LITERALS)) {
    const homes = sources.filter(source => source.literals.some(text => pattern.test(text)));
    t.ok(homes.length <= 1, `${name}: ${homes.map(source => source.path).join(', ')}`);
  }
});

t.test('files and functions are short', async t => {
  const tests = [...filesBelow('test', '.ts'), ...filesBelow('bench', '.ts', '.js')];
  for (const path of [
    ...sources.map(source => source.path),
    ...tests,
    ...filesBelow('native', '.cc', '.h'),
  ]) {
    const lines = lineCount(textOf(path));
    t.ok(lines <= MAX_FILE, `${path} has ${lines} lines, at most ${MAX_FILE}`);
  }
  for (const source of sources) {
    for (const { name, lines } of source.functions) {
      if (lines > MAX_FUNCTION) t.fail(`${source.path}: ${name} has ${lines} lines, at most ${MAX_FUNCTION}`);
    }
  }
});

t.test('a file opens with its contract, in one to four lines', async t => {
  for (const source of sources) {
    if (source.path.endsWith('/index.ts') && source.path !== 'src/index.ts') continue;
    const head = /^(?:#!.*\n)?((?:\/\/.*\n)+)/.exec(source.text)?.[1];
    const lines = head ? lineCount(head) : 0;
    t.ok(lines >= 1 && lines <= 4, `${source.path} opens with ${lines} comment lines`);
  }
});

t.test('a room explains itself in a screen', async t => {
  for (const room of rooms) {
    const path = `src/${room}/README.md`;
    if (!existsSync(join(top, path))) t.fail(`${path} is missing`);
    else t.ok(lineCount(textOf(path)) <= MAX_README, `${path} has at most ${MAX_README} lines`);
  }
});

t.test('the top level is the one of the design', async t => {
  const allowed =
    /^(src|test|bench|native|node_modules|build|dist|README\.md|CHANGELOG\.md|LICENSE|binding\.gyp)$/;
  const config = /^(package(-lock)?\.json|tsconfig(\.[a-z]+)?\.json|biome\.json|\..*)$/;
  for (const name of readdirSync(top)) t.ok(allowed.test(name) || config.test(name), name);
  for (const name of ['src', 'test', 'bench', 'native']) t.ok(statSync(join(top, name)).isDirectory(), name);
});
