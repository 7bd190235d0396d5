// Finding the lower parts of a directory that was renamed: following `redirect` notes from layer to layer, exactly as
// kernel overlayfs does (fs/overlayfs/namei.c: ovl_lookup, ovl_lookup_layer, ovl_check_redirect).
import { type ByteString, DT, E, modeToType, Stat, SysError } from '../base/index.js';
import { isWhiteout, type RealDir, readMarks } from '../layer/index.js';
import { AT, statx } from '../sys/index.js';
import type { Stack } from './stack.js';

const scratch = new Stat();

/** Where the search stands: `path` is what to look for in the next layer. */
interface Walk {
  /** A name beside the directory, or an absolute path of the union. */
  path: ByteString;
  stop: boolean;
  redirected: boolean;
}

/**
 * The real directories below `after` (a layer position) that `redirect` leads to, topmost first. `beside` are the real
 * directories of the parent. Throws EPERM when redirects are not to be followed.
 */
export function followRedirect(
  stack: Stack,
  beside: readonly RealDir[],
  after: number,
  redirect: ByteString,
): RealDir[] {
  if (!stack.behaviour.followRedirects) throw new SysError(E.EPERM, `not following redirect to ${redirect}`);
  const roots = stack.lowers.map(layer => layer.root);
  const walk: Walk = { path: redirect, stop: false, redirected: false };
  let bases = redirect.startsWith('/') ? roots : beside;
  const found: RealDir[] = [];
  let position = after;
  for (let base = below(bases, position); base !== undefined && !walk.stop; base = below(bases, position)) {
    position = base.layer.position;
    walk.redirected = false;
    const real = lookupLayer(stack, base, walk);
    if (real !== null) found.push(real);
    if (walk.redirected && walk.path.startsWith('/')) bases = roots;
  }
  return found;
}

function below(bases: readonly RealDir[], position: number): RealDir | undefined {
  return bases.find(base => base.layer.position > position);
}

/** Looks for walk.path in one layer; a redirect on the way changes it for the layers below. */
function lookupLayer(stack: Stack, base: RealDir, walk: Walk): RealDir | null {
  if (!walk.path.startsWith('/')) return lookupSingle(stack, base, walk, '', walk.path, '');
  const parts = walk.path.slice(1).split('/');
  let real: RealDir | null = base;
  let before = '/';
  for (let i = 0; i < parts.length && real !== null; i++) {
    const part = parts[i]!;
    const rest = parts.slice(i + 1);
    const after = rest.length === 0 ? '' : `/${rest.join('/')}`;
    real = lookupSingle(stack, real, walk, before, part, after);
    // A redirect on the way has put another path before what is left.
    before = `${walk.path.slice(0, walk.path.length - after.length)}/`;
  }
  return real;
}

function lookupSingle(
  stack: Stack,
  base: RealDir,
  walk: Walk,
  before: ByteString,
  name: ByteString,
  rest: ByteString,
): RealDir | null {
  if (statx(base.fd(), name, AT.SYMLINK_NOFOLLOW, scratch.slots) < 0) return null;
  if (modeToType(scratch.mode) !== DT.DIR || isWhiteout(base, name)) {
    walk.stop = true;
    return null;
  }
  const real = base.child(name);
  if (stack.isBottom(base.layer)) return real;
  const marks = readMarks(real, stack.xattrNames.namespace, false);
  if (marks.opaque === 'y') {
    walk.stop = true;
    return real;
  }
  if (marks.redirect !== null) {
    if (!stack.behaviour.followRedirects)
      throw new SysError(E.EPERM, `not following redirect of ${real.describe()}`);
    walk.redirected = true;
    if (marks.redirect.startsWith('/')) walk.stop = false;
    walk.path = (marks.redirect.startsWith('/') ? marks.redirect : before + marks.redirect) + rest;
  }
  return real;
}
