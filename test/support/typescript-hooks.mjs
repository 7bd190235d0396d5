// What node's loader asks so that it can run TypeScript as it stands (typescript.mjs registers it): an import of './x.js' finds
// './x.ts', and what TypeScript makes of a file is kept in build/transpiled with a mark of all it depends on, because making
// it anew for every process that a test starts took more time than most tests.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { threadId } from 'node:worker_threads';

const require = createRequire(import.meta.url);
const top = new URL('../../', import.meta.url);
const kept = new URL('build/transpiled/', top);
const versions = [
  require('typescript/package.json').version,
  readFileSync(new URL('tsconfig.json', top), 'utf8'),
  readFileSync(fileURLToPath(import.meta.url), 'utf8'),
];

/** node's resolve hook. */
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND' || !/^(\.|file:).*\.js(\?.*)?$/.test(specifier)) throw error;
    return next(specifier.replace(/\.js(?=$|\?)/, '.ts'), context);
  }
}

/** node's load hook. */
export async function load(url, context, next) {
  if (!/\.ts(\?.*)?$/.test(url) || url.includes('/node_modules/')) return next(url, context);
  const path = fileURLToPath(url);
  return { format: 'module', shortCircuit: true, source: transpiled(path, readFileSync(path, 'utf8')) };
}

function transpiled(path, text) {
  const hash = createHash('sha256');
  for (const part of [...versions, text]) hash.update(part).update('\0');
  const mark = `\n// ${hash.digest('hex')}\n`;
  const name = new URL(`${relative(fileURLToPath(top), path).replaceAll('/', '+')}.js`, kept);
  const before = recall(name);
  if (before?.endsWith(mark)) return before;
  const made = transpile(path, text) + mark;
  keep(name, made);
  return made;
}

function recall(name) {
  try {
    return readFileSync(name, 'utf8');
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
    return undefined;
  }
}

function transpile(path, text) {
  const ts = require('typescript');
  const { config } = ts.parseConfigFileTextToJson('tsconfig.json', versions[1]);
  // Alone, a file does not tell TypeScript that it is a module of the package's type: so the format is named.
  const format = { module: 'esnext', moduleResolution: 'bundler', outDir: undefined };
  const compilerOptions = {
    ...config.compilerOptions,
    ...format,
    inlineSourceMap: true,
    sourceMap: false,
    declaration: false,
  };
  return ts.transpileModule(text, { fileName: basename(path), compilerOptions }).outputText;
}

/** Several processes may keep the same file at once; whoever may not write here (another user) does without. */
function keep(name, made) {
  const unfinished = new URL(`${name.href}.${process.pid}.${threadId}`);
  try {
    mkdirSync(kept, { recursive: true });
    writeFileSync(unfinished, made);
    renameSync(unfinished, name);
  } catch (error) {
    if (error.code !== 'EACCES' && error.code !== 'EROFS') throw error;
  }
}
