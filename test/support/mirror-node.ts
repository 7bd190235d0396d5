// What a Mirror hands to the session: nodes that know their path, open files, and the times that it passes on.
import type { ByteString } from '../../src/base/index.js';
import type { FileTime } from '../../src/fuse/index.js';
import { UTIME } from '../../src/sys/index.js';

export class MirrorNode {
  readonly children = new Map<ByteString, MirrorNode>();
  constructor(
    public parent: MirrorNode | undefined,
    public name: ByteString,
  ) {}

  get path(): ByteString {
    if (this.parent === undefined) return '';
    const above = this.parent.path;
    return above === '' ? this.name : `${above}/${this.name}`;
  }

  child(name: ByteString): MirrorNode {
    let node = this.children.get(name);
    if (node === undefined) {
      node = new MirrorNode(this, name);
      this.children.set(name, node);
    }
    return node;
  }
}

export class MirrorHandle {
  reads = 0;
  writes = 0;
  entries: { name: ByteString; ino: number; type: number }[] | undefined;
  constructor(
    readonly node: MirrorNode,
    readonly fd: number,
  ) {}
}

/** Seconds and nanoseconds as utimensat takes them. */
export function time(value: FileTime | undefined): [number, number] {
  if (value === undefined) return [0, UTIME.OMIT];
  return value === 'now' ? [0, UTIME.NOW] : [value.sec, value.nsec];
}
