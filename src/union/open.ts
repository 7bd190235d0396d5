// From options to a running union: opens and checks the layers as kernel overlayfs does, finds out what they can hold, and
// decides what 'auto' comes to. Whatever is wrong is said before anything is changed.
import { type ByteString, E, isErrno, ok, Stat, toText } from '../base/index.js';
import {
  encodeHandle,
  Layer,
  markVolatile,
  type Namespace,
  openIndex,
  openUpper,
  readMarks,
  statHandle,
  type Upper,
} from '../layer/index.js';
import { AT, close, fstatfs, keepCapabilities, O, openPath, statx, umask } from '../sys/index.js';
import { GroupSync } from './groupsync.js';
import { unmappedLowers } from './idmapped.js';
import { claimIndex, cleanIndex } from './indexcheck.js';
import { Meter } from './meter.js';
import { Quota } from './quota.js';
import { type Behaviour, Stack } from './stack.js';
import { MAX_LOWERS, OptionError, type UnionConfig } from './unionconfig.js';

/** A directory that must not be inside another: its device and inode, and what it was given as. */
interface Place {
  readonly what: string;
  readonly path: ByteString;
  readonly dev: number;
  readonly ino: number;
}

const scratch = new Stat();

/** Opens the union that `config` describes. Throws OptionError or SysError; nothing is left open then. */
export function openStack(config: UnionConfig): Stack {
  if (config.lowers.length === 0)
    throw new OptionError('lowerdir', 'is missing: name at least one lower layer');
  if (config.lowers.length > MAX_LOWERS) {
    throw new OptionError('lowerdir', `too many lower directories, limit is ${MAX_LOWERS}`);
  }
  umask(0);
  if (process.geteuid!() === 0) keepCapabilities();
  const opened: { close(): void }[] = [];
  try {
    const lowers = unmappedLowers(config).map(path => {
      const layer = named('lowerdir', path, () => Layer.open(path, false));
      opened.push(layer);
      return layer;
    });
    checkPlaces(config);
    let upper: Upper | null = null;
    if (config.upper !== null && !(config.readonly && config.work === null)) upper = openWritable(config);
    if (upper !== null) opened.push(upper);
    return assemble(config, upper, lowers);
  } catch (error) {
    for (const one of opened) one.close();
    throw error;
  }
}

function named<T>(option: string, path: ByteString, open: () => T): T {
  try {
    return open();
  } catch (error) {
    if (isErrno(error, E.ENOENT)) throw new OptionError(option, `${toText(path)} does not exist`);
    if (isErrno(error, E.ENOTDIR)) throw new OptionError(option, `${toText(path)} is not a directory`);
    if (isErrno(error, E.EACCES))
      throw new OptionError(option, `${toText(path)} may not be read by this user`);
    throw error;
  }
}

function openWritable(config: UnionConfig): Upper {
  const work = config.work;
  if (work === null)
    throw new OptionError('workdir', 'is missing: an upperdir needs one on the same file system');
  const wanted: Namespace | null =
    config.userxattr === 'on' ? 'user' : process.geteuid!() === 0 ? null : 'user';
  const upper = named('upperdir', config.upper!, () => openUpper(config.upper!, work, wanted));
  if (upper.layer.dev !== upper.work.dev) {
    upper.close();
    throw new OptionError(
      'workdir',
      `${toText(work)} is not on the file system of upperdir ${toText(config.upper!)}`,
    );
  }
  return upper;
}

/** No layer may be inside the upper or work directory, or the other way round: it would change behind our back. */
function checkPlaces(config: UnionConfig): void {
  if (config.upper === null) return;
  const upper = place('upperdir', config.upper);
  const work = config.work === null ? null : place('workdir', config.work);
  const writable = work === null ? [upper] : [upper, work];
  if (work !== null) {
    refuseOverlap(upper, work);
    refuseOverlap(work, upper);
  }
  const above = writable.map(one => new Set(directoriesAbove(one.path)));
  // Layers of one store lie side by side: what is above the first need not be looked at again for the others.
  const outside = new Set<string>();
  for (const path of config.lowers) {
    const lower = place('lowerdir', path);
    for (const [i, one] of writable.entries()) if (above[i]!.has(identity(lower))) refuseOverlap(one, lower);
    const seen = directoriesAbove(path, outside);
    for (const one of writable) if (seen.includes(identity(one))) refuseOverlap(lower, one);
    for (const directory of seen) outside.add(directory);
  }
}

function identity({ dev, ino }: { readonly dev: number; readonly ino: number }): string {
  return `${dev}:${ino}`;
}

/** The directory `path` and those above it, up to the root or to one of `known`. */
function directoriesAbove(path: ByteString, known: ReadonlySet<string> = new Set()): string[] {
  const found: string[] = [];
  climb(path, directory => {
    if (known.has(identity(directory))) return true;
    found.push(identity(directory));
    return false;
  });
  return found;
}

function place(what: string, path: ByteString): Place {
  const rc = statx(AT.FDCWD, path, 0, scratch.slots);
  if (rc < 0) named(what, path, () => ok(rc, path));
  return { what, path, dev: scratch.dev, ino: scratch.ino };
}

/** Throws when `inner` is `outer` or below it. */
function refuseOverlap(inner: Place, outer: Place): void {
  if (!isBelow(inner.path, outer)) return;
  const how = inner.dev === outer.dev && inner.ino === outer.ino ? 'is the same directory as' : 'is inside';
  throw new OptionError(
    inner.what,
    `${toText(inner.path)} ${how} ${outer.what} ${toText(outer.path)}: layers must not overlap`,
  );
}

/** Is the directory `path`, or one above it, the place `outer`? */
export function isBelow(path: ByteString, outer: { readonly dev: number; readonly ino: number }): boolean {
  return climb(path, ({ dev, ino }) => dev === outer.dev && ino === outer.ino);
}

/** Shows `visit` the directory `path` and those above it, until it says true; whether it did. */
function climb(path: ByteString, visit: (directory: Stat) => boolean): boolean {
  let fd = ok(openPath(path, O.PATH | O.DIRECTORY), path);
  try {
    let last = { dev: -1, ino: -1 };
    for (;;) {
      ok(statx(fd, '', AT.EMPTY_PATH, scratch.slots), path);
      if (visit(scratch)) return true;
      if (scratch.dev === last.dev && scratch.ino === last.ino) return false;
      last = { dev: scratch.dev, ino: scratch.ino };
      const up = openUp(fd);
      if (up < 0) return false;
      close(fd);
      fd = up;
    }
  } finally {
    close(fd);
  }
}

function openUp(fd: number): number {
  return openPath(`/proc/self/fd/${fd}/..`, O.PATH | O.DIRECTORY);
}

function assemble(config: UnionConfig, upper: Upper | null, lowers: readonly Layer[]): Stack {
  const readonly = config.readonly || upper === null;
  const metered = upper !== null && !readonly && keepsUsage(config);
  const rootBlocks = metered ? blocksOf(upper) : 0;
  const handles = lowers.every(layer => encodeHandle(layer, layer.rootFd, '') !== null);
  const canOpen = handles && canOpenHandles(lowers);
  const namespace = upper?.namespace ?? (config.userxattr === 'on' ? 'user' : 'trusted');
  const index =
    upper !== null &&
    !readonly &&
    wantsIndex(config, upper, canOpen) &&
    adoptIndex(config, upper, lowers[0]!);
  const behaviour: Behaviour = {
    readonly,
    writeRedirects: upper?.abilities.namespace != null && writesRedirects(config, namespace),
    followRedirects: followsRedirects(config, namespace),
    index,
    metacopy: config.metacopy && upper?.namespace === 'trusted',
    syncCopies: config.fsync !== 'none',
    syncAll: config.fsync === 'strict',
    fsync: config.fsync !== 'none',
    staticNlink: config.staticNlink,
    acl: config.acl,
    xattrs: config.xattrs,
  };
  const top = upper?.layer ?? lowers[0]!;
  ok(statx(top.rootFd, '', AT.EMPTY_PATH, scratch.slots), top.path);
  if (upper !== null && config.volatile && !readonly) markVolatile(upper);
  const stack = new Stack(config, upper, lowers, behaviour, scratch);
  stack.canOpenHandles = canOpen;
  prepareRoot(stack, namespace);
  if (metered) startCounting(stack, upper, rootBlocks);
  stack.group = GroupSync.of(stack);
  return stack;
}

function keepsUsage({ usage, size, inodes }: UnionConfig): boolean {
  return usage !== null || size !== null || inodes !== null;
}

function blocksOf({ layer }: Upper): number {
  ok(statx(layer.rootFd, '', AT.EMPTY_PATH, scratch.slots), layer.path);
  return scratch.blocks;
}

/** `rootBlocks`: of the upper's root, before the notes that opening it may have left on it. */
function startCounting(stack: Stack, upper: Upper, rootBlocks: number): void {
  const { usage, size, inodes } = stack.config;
  const meter = new Meter(upper, usage ?? 'count', node => stack.shrink(node));
  if (usage !== null && usage !== 'count') meter.addBlocks(blocksOf(upper) - rootBlocks);
  stack.meter = meter;
  upper.tally = meter;
  if (size === null && inodes === null) return;
  const slots = new Float64Array(12);
  ok(fstatfs(upper.layer.rootFd, slots), upper.layer.path);
  const [, , , , , , , , frsize] = slots;
  stack.quota = new Quota(meter, size, inodes, frsize!);
}

function prepareRoot(stack: Stack, namespace: Namespace): void {
  for (const real of stack.root.reals) {
    const marks = readMarks(real, namespace, true);
    if (!real.layer.writable) continue;
    stack.root.impure = marks.impure;
    stack.root.defaultAcl = marks.defaultAcl;
  }
}

function canOpenHandles(lowers: readonly Layer[]): boolean {
  return lowers.every(layer => {
    const handle = encodeHandle(layer, layer.rootFd, '');
    return handle !== null && statHandle([layer], handle, scratch);
  });
}

function wantsIndex(config: UnionConfig, upper: Upper, canOpen: boolean): boolean {
  if (config.index === 'off') return false;
  const possible = upper.abilities.namespace !== null && canOpen;
  if (config.index === 'on' && !possible) {
    throw new OptionError(
      'index',
      'needs extended attributes in the upper and file handles in every layer, as root',
    );
  }
  return possible;
}

/** Opens the index; false when it belongs to other layers, which only an explicit index=on makes an error. */
function adoptIndex(config: UnionConfig, upper: Upper, lower: Layer): boolean {
  const index = openIndex(upper);
  if (claimIndex(upper, index, lower)) {
    cleanIndex(upper, index);
    return true;
  }
  if (config.index === 'on') {
    throw new OptionError(
      'index',
      `the upperdir or its index was used with another topmost lower layer than ${toText(lower.path)}`,
    );
  }
  config.notes.push(
    'index: off, since the upperdir was used with another topmost lower layer; hard links break at copy-up',
  );
  upper.index = null;
  index.close();
  return false;
}

function writesRedirects(config: UnionConfig, namespace: Namespace): boolean {
  return config.redirectDir === 'on' || (config.redirectDir === 'auto' && namespace === 'trusted');
}

function followsRedirects(config: UnionConfig, namespace: Namespace): boolean {
  if (config.redirectDir === 'auto') return namespace === 'trusted';
  return config.redirectDir !== 'nofollow';
}
