// The layers under the one that a tar is applied to: what a directory is there that the tar goes through and does not say.
import type { ByteString } from '../base/index.js';
import { Layer } from '../layer/index.js';
import type { Entry } from './entry.js';
import { MergedDir } from './merged.js';
import { readNode } from './node.js';

export class Lowers {
  private layers: Layer[] = [];
  private root: MergedDir | null = null;

  /** `paths`: top first. Nothing is opened until somebody asks. */
  constructor(private readonly paths: readonly ByteString[]) {}

  /** The directory at `names` as the layers show it together; null when there is none. */
  directory(names: readonly ByteString[]): Entry | null {
    if (this.paths.length === 0) return null;
    if (this.root === null) {
      for (const path of this.paths) this.layers.push(Layer.open(path, false));
      this.root = MergedDir.root(this.layers, 1);
    }
    let dir = this.root;
    let entry: Entry | null = null;
    for (const name of names) {
      const found = dir.lookup(name);
      if (found?.children == null) return null;
      dir = found.children;
      entry = { ...readNode(found.real), type: 'directory', path: names.join('/') };
      dir.release();
    }
    return entry;
  }

  close(): void {
    this.root?.releaseStrays();
    this.root?.release();
    for (const layer of this.layers) layer.close();
    this.layers = [];
  }
}
