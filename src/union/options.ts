// From option strings, as mount(8), fstab and container engines write them, to a UnionConfig. Pure: nothing on disk is
// looked at. Whatever would change what the mount shows acts or is an error; the rest is accepted with a note.
import { type ByteString, fromText, toText } from '../base/index.js';
import { escapePath, type OptionPair, splitOptions } from './layerlist.js';
import { meantWord } from './misspelt.js';
import type { Draft } from './optionrow.js';
import { MEANINGFUL, OPTION_ROWS, optionRow } from './optiontable.js';
import { defaultConfig, MAX_LOWERS, OptionError, type UnionConfig } from './unionconfig.js';

/**
 * Parses one or more option strings, later ones overriding earlier ones.
 * @throws OptionError naming the option and the rule.
 */
export function parseOptions(...strings: readonly ByteString[]): UnionConfig {
  const draft: Draft = { config: defaultConfig(), given: new Map() };
  for (const text of strings) for (const pair of splitOptions(text)) take(draft, pair);
  checkLayers(draft);
  checkCombinations(draft);
  settle(draft.config);
  return draft.config;
}

function take(draft: Draft, { name, value }: OptionPair): void {
  if (name === '') throw new OptionError(`=${toText(value ?? '')}`, 'a value without an option');
  const row = optionRow(name);
  if (row === undefined) {
    unknown(draft, name);
    return;
  }
  if (name === 'lowerdir' && draft.given.has('lowerdir+')) {
    throw new OptionError('lowerdir', 'must not follow lowerdir+');
  }
  row.apply(draft, value);
  draft.given.set(name, value);
}

function unknown({ config }: Draft, name: string): void {
  const meant = meantWord(name, MEANINGFUL);
  if (meant !== null) throw new OptionError(toText(name), `unknown option; did you mean ${meant}?`);
  config.notes.push(`${toText(name)}: unknown option, ignored`);
}

function checkLayers({ config }: Draft): void {
  if (config.lowers.length === 0)
    throw new OptionError('lowerdir', 'missing; at least one lower layer is needed');
  if (config.lowers.length > MAX_LOWERS) {
    throw new OptionError('lowerdir', `too many lower directories, limit is ${MAX_LOWERS}`);
  }
  if (config.upper !== null && config.work === null)
    throw new OptionError('workdir', 'missing; upperdir needs one');
  const paths = [...config.lowers, config.upper ?? '', config.work ?? ''];
  if (paths.some(path => path.includes('\0')))
    throw new OptionError('lowerdir', 'a path must not contain NUL');
}

/** The rules are those of ovl_fs_params_verify() (fs/overlayfs/params.c); only userxattr with redirect_dir is laxer. */
function checkCombinations({ config, given }: Draft): void {
  if (given.get('metacopy') === 'on') {
    if (config.userxattr === 'on')
      throw new OptionError('metacopy', 'metacopy=on and userxattr exclude each other');
    if (given.has('redirect_dir') && config.redirectDir !== 'on') {
      throw new OptionError(
        'metacopy',
        `metacopy=on and redirect_dir=${config.redirectDir} exclude each other`,
      );
    }
  }
  if (config.userxattr === 'on' && config.redirectDir === 'on') {
    config.notes.push('redirect_dir: kernel overlayfs does not follow redirects kept in user.* attributes');
  }
  if (config.upper === null && config.work !== null)
    config.notes.push('workdir: useless without upperdir, ignored');
  if (config.size !== null && config.passthrough === 'on') {
    throw new OptionError(
      'passthrough',
      'passthrough=on and size exclude each other: what bypasses the daemon has no limit',
    );
  }
  for (const limit of ['size', 'inodes'] as const) {
    if (config.upper === null && config[limit] !== null)
      config.notes.push(`${limit}: useless without upperdir, ignored`);
  }
  if (config.upper === null && config.volatile)
    config.notes.push('volatile: useless without upperdir, ignored');
}

function settle(config: UnionConfig): void {
  if (config.upper === null) {
    config.readonly = true;
    config.work = null;
    config.volatile = false;
    config.size = config.inodes = null;
  }
  if (config.volatile) config.fsync = 'none';
}

/** A copy whose layers are absolute, for a daemon that leaves the directory `cwd`. ".." stays: a symlink may precede it. */
export function withAbsolutePaths(config: UnionConfig, cwd: ByteString): UnionConfig {
  const absolute = (path: ByteString) => absolutePath(path, cwd);
  return {
    ...config,
    lowers: config.lowers.map(absolute),
    upper: config.upper === null ? null : absolute(config.upper),
    work: config.work === null ? null : absolute(config.work),
  };
}

/** `path` as seen from `cwd`. */
export function absolutePath(path: ByteString, cwd: ByteString): ByteString {
  return path.startsWith('/') ? path : `${cwd === '/' ? '' : cwd}/${path}`;
}

/** An option string from names and values; lists are layers. Flags are true; false and undefined are left out. */
export function formatOptions(options: Readonly<Record<string, OptionValue>>): ByteString {
  const elements: ByteString[] = [];
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === false) continue;
    if (value === true) elements.push(name);
    else if (Array.isArray(value))
      elements.push(`${name}=${value.map(path => escapePath(fromText(path))).join(':')}`);
    else
      elements.push(
        `${name}=${PATHS.has(name) ? escapePath(fromText(String(value))) : fromText(String(value))}`,
      );
  }
  return elements.join(',');
}

export type OptionValue = string | number | boolean | readonly string[] | undefined;

const PATHS = new Set(['upperdir', 'workdir', 'fsname', 'subtype']);

/** One line per option that acts: how it is written and what it does. */
export function optionHelp(): { usage: string; help: string }[] {
  return OPTION_ROWS.filter(row => row.kind === 'acts').map(row => ({
    usage: row.form ? `${row.name}=${row.form}` : row.name,
    help: row.help,
  }));
}
