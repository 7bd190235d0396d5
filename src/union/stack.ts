// The state of one union: its layers, its nodes, and what it was asked to be. The operations beside this file are
// functions over it.
import { type ByteString, E, objectFreed, Stat, SysError } from '../base/index.js';
import type { Notifier } from '../fuse/index.js';
import { type Layer, overrideStatName, type Upper, XattrNames } from '../layer/index.js';
import { Foresight } from './foresight.js';
import type { GroupSync } from './groupsync.js';
import { InodeSpace } from './inodes.js';
import type { Meter } from './meter.js';
import { Dir, Entry, type Node } from './node.js';
import type { Quota } from './quota.js';
import type { UnionConfig } from './unionconfig.js';

/** What the options come to on these layers. */
export interface Behaviour {
  readonly readonly: boolean;
  /** Renamed directories with lower content get a redirect; else EXDEV. */
  readonly writeRedirects: boolean;
  readonly followRedirects: boolean;
  readonly index: boolean;
  /** A change of attributes alone copies no data. */
  readonly metacopy: boolean;
  /** A copied-up file is durable before it is visible. */
  readonly syncCopies: boolean;
  /** Directories and attributes too. */
  readonly syncAll: boolean;
  /** fsync(2) does something. */
  readonly fsync: boolean;
  readonly staticNlink: boolean;
  readonly acl: boolean;
  readonly xattrs: boolean;
}

const SILENT: Notifier<Node> = { attributes() {}, data() {}, entry() {} };

export class Stack {
  readonly inodes: InodeSpace;
  readonly root: Dir;
  readonly xattrNames: XattrNames;
  /** Files with several names, by inode number, so that all names lead to one node. */
  readonly linked = new Map<number, Node>();
  notify: Notifier<Node> = SILENT;
  /** File handles of the layers can be opened (CAP_DAC_READ_SEARCH). */
  canOpenHandles = false;
  /** The kernel reads and writes real files in our stead. */
  passthrough = false;
  /** Counts what the upper holds; null: nobody wants to know. */
  meter: Meter | null = null;
  /** What it may hold; null: no limit. */
  quota: Quota | null = null;
  /** Syncs copies in groups; null: one by one. */
  group: GroupSync | null = null;
  readonly foresight = new Foresight();
  /** For short-lived questions; never kept across another call. */
  readonly scratch = new Stat();

  constructor(
    readonly config: UnionConfig,
    readonly upper: Upper | null,
    /** Topmost first. */
    readonly lowers: readonly Layer[],
    readonly behaviour: Behaviour,
    rootStat: Stat,
  ) {
    const layers = this.layers();
    layers.forEach((layer, position) => {
      layer.position = position;
    });
    this.inodes = new InodeSpace(layers.map(layer => layer.dev));
    this.xattrNames = new XattrNames(
      upper?.namespace ?? (config.userxattr === 'on' ? 'user' : 'trusted'),
      ownerNoteName(config),
    );
    this.root = new Dir(
      this.inodes.of(rootStat),
      null,
      '',
      layers.map(layer => layer.root),
    );
    this.root.known = true;
  }

  /** All layers, topmost first. */
  layers(): Layer[] {
    return this.upper === null ? [...this.lowers] : [this.upper.layer, ...this.lowers];
  }

  /** The upper, or EROFS. */
  writable(): Upper {
    if (this.upper === null || this.behaviour.readonly) throw new SysError(E.EROFS, 'the mount is read-only');
    return this.upper;
  }

  /** Does `change`, which changes what the upper has of `nodes` and ends before it returns. */
  counted<T>(change: () => T, ...nodes: (Node | null)[]): T {
    return this.meter === null ? change() : this.meter.around(nodes, change);
  }

  /** Is a real directory of the bottom layer? What it says of layers below it is said to nobody. */
  isBottom(layer: Layer): boolean {
    return layer.position === this.lowers.length - (this.upper === null ? 1 : 0);
  }

  /** Gives `node` its (first, or one more) name in `parent`. */
  attach(node: Node, parent: Dir, name: ByteString): void {
    parent.put(name, node);
    parent.version++;
    if (node.parent === null) {
      node.parent = parent;
      node.name = name;
      parent.children++;
    } else if (node.parent !== parent || node.name !== name) {
      links(node).aliases.push({ parent, name });
      parent.children++;
    }
  }

  /** Takes the name away; the node stays for whoever has it open. */
  detach(node: Node, parent: Dir, name: ByteString): void {
    if (parent.names.get(name) === node) parent.drop(name);
    parent.version++;
    const aliases = node.links?.aliases;
    if (node.links !== null)
      node.links.lowerNames = node.links.lowerNames.filter(one => one.parent !== parent || one.name !== name);
    if (node.parent === parent && node.name === name) {
      const other = aliases?.pop();
      node.parent = other?.parent ?? null;
      if (other !== undefined) node.name = other.name;
    } else {
      const at = aliases?.findIndex(alias => alias.parent === parent && alias.name === name) ?? -1;
      if (at < 0) return;
      aliases!.splice(at, 1);
    }
    this.leave(parent);
  }

  /** Drops what nobody needs any more: the node itself, and directories above it that were kept for its sake. */
  shrink(node: Node): void {
    if (node.known || node.opens > 0 || node.copying !== null || node.unsynced || node === this.root) return;
    if (this.meter?.holds(node)) return;
    if (node instanceof Dir && (node.children > 0 || node.listing !== null)) return;
    if (node.links !== null && this.linked.get(node.ino) === node) this.linked.delete(node.ino);
    const aliases = node.links?.aliases ?? [];
    const { parent, name } = node;
    node.releaseDetached();
    if (parent === null) return;
    const entry = asEntry(node);
    for (const alias of [{ parent, name }, ...aliases]) {
      if (alias.parent.names.get(alias.name) === node) {
        if (entry !== null) alias.parent.put(alias.name, entry);
        else {
          alias.parent.drop(alias.name);
          alias.parent.complete = false;
        }
      }
      this.leave(alias.parent);
    }
    node.parent = null;
    objectFreed();
  }

  /** A node has changed its parent. */
  moved(from: Dir, to: Dir): void {
    if (from === to) return;
    to.children++;
    this.leave(from);
  }

  private leave(parent: Dir): void {
    parent.children--;
    this.shrink(parent);
  }
}

/** Where `xattr_permissions` keeps owners and modes. */
function ownerNoteName({ xattrPermissions }: UnionConfig): ByteString | null {
  if (xattrPermissions === 0) return null;
  return overrideStatName(xattrPermissions === 1 ? 'security' : 'user');
}

/** The links record of a node, made when missing. */
export function links(node: Node): NonNullable<Node['links']> {
  node.links ??= { aliases: [], lowerNames: [], nlink: -1, indexName: null };
  return node.links;
}

/** What a later lookup needs to find the file again; null when only the layers can tell. */
function asEntry(node: Node): Entry | null {
  if (node.links !== null) return null;
  if (!(node instanceof Dir)) return new Entry(node.real, node.type, 0, null);
  const containers = node.reals.map(real => real.parent!);
  return new Entry(containers[0]!, node.type, 0, containers.length > 1 ? containers.slice(1) : null);
}
