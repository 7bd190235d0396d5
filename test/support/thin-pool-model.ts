// What a pool must do, as flat Buffers and counted tokens: a token stands for one data block, and every volume (and the
// metadata snapshot) that maps it holds one reference. Contents, mapped, exclusive, shared and used blocks follow exactly.

export interface Token {
  refs: number;
}

export class ModelVolume {
  readOnly = false;
  /** Blocks by index; null is unmapped. */
  tokens: (Token | null)[];
  content: Buffer;

  constructor(
    readonly blockSize: number,
    size: number,
    /** External origin, as long as a volume can be. */
    readonly external: Buffer | null,
  ) {
    this.content = Buffer.alloc(size);
    this.tokens = new Array<Token | null>(Math.ceil(size / blockSize)).fill(null);
    external?.copy(this.content);
  }

  get size(): number {
    return this.content.length;
  }

  get mapped(): number {
    return this.tokens.filter(token => token !== null).length;
  }

  get exclusive(): number {
    return this.tokens.filter(token => token?.refs === 1).length;
  }

  get highest(): number | null {
    const index = this.tokens.findLastIndex(token => token !== null);
    return index < 0 ? null : index;
  }

  write(offset: number, data: Buffer): void {
    if (data.length === 0) return;
    data.copy(this.content, offset);
    const last = Math.floor((offset + data.length - 1) / this.blockSize);
    for (let index = Math.floor(offset / this.blockSize); index <= last; index++) this.own(index);
  }

  /** `unmap`: whole blocks are unmapped unless that is `ignored`, the rest is written where it is mapped; else all is written. */
  zero(offset: number, length: number, unmap: boolean, ignored: boolean): void {
    if (!unmap) {
      this.write(offset, Buffer.alloc(length));
      return;
    }
    const end = offset + length;
    const [first, last] = this.whole(offset, end);
    const unmaps = !ignored && this.external === null && first < last;
    for (let at = offset; at < end; ) {
      const index = Math.floor(at / this.blockSize);
      const stop = Math.min(end, (index + 1) * this.blockSize);
      const skipped = (unmaps && index >= first && index < last) || this.isHole(index);
      if (!skipped) this.write(at, Buffer.alloc(stop - at));
      at = stop;
    }
    if (unmaps) this.unmap(first, last);
  }

  discard(offset: number, length: number): void {
    this.unmap(...this.whole(offset, offset + length));
  }

  /** Unmaps the blocks `first` to `last` (exclusive). */
  unmap(first: number, last: number): void {
    const { blockSize, tokens, content, external } = this;
    for (let index = first; index < last; index++) {
      const token = tokens[index] ?? null;
      if (token === null) continue;
      token.refs--;
      tokens[index] = null;
      const begin = index * blockSize;
      content.fill(0, begin, begin + blockSize);
      if (external !== null && begin < external.length) {
        external.copy(content, begin, begin, Math.min(begin + blockSize, content.length));
      }
    }
  }

  resize(size: number): void {
    const blocks = Math.ceil(size / this.blockSize);
    if (blocks < this.tokens.length) this.unmap(blocks, this.tokens.length);
    const before = this.content;
    this.content = Buffer.alloc(size);
    this.external?.copy(this.content);
    before.copy(this.content);
    this.tokens = Array.from({ length: blocks }, (_, i) => this.tokens[i] ?? null);
  }

  /** Takes over what `from` has, and shares it. */
  become(from: ModelVolume): void {
    this.drop();
    this.content = Buffer.from(from.content);
    this.tokens = shared(from.tokens);
  }

  drop(): void {
    for (const token of this.tokens) if (token !== null) token.refs--;
    this.tokens = [];
  }

  snapshot(): ModelVolume {
    const copy = new ModelVolume(this.blockSize, 0, this.external);
    copy.become(this);
    return copy;
  }

  /** Blocks that are not mapped to the same place in both. */
  differing(other: ModelVolume): number {
    const length = Math.max(this.tokens.length, other.tokens.length);
    let count = 0;
    for (let i = 0; i < length; i++) if ((this.tokens[i] ?? null) !== (other.tokens[i] ?? null)) count++;
    return count;
  }

  private isHole(index: number): boolean {
    return this.external === null && this.tokens[index] === null;
  }

  private own(index: number): void {
    const token = this.tokens[index] ?? null;
    if (token?.refs === 1) return;
    if (token !== null) token.refs--;
    this.tokens[index] = { refs: 1 };
  }

  private whole(offset: number, end: number): [first: number, last: number] {
    const last = end / this.blockSize;
    return [Math.ceil(offset / this.blockSize), end === this.size ? Math.ceil(last) : Math.floor(last)];
  }
}

export function shared(tokens: readonly (Token | null)[]): (Token | null)[] {
  for (const token of tokens) if (token !== null) token.refs++;
  return [...tokens];
}

export class Model {
  readonly volumes = new Map<string, ModelVolume>();
  /** The tokens of all volumes in the metadata snapshot, or null without one. */
  held: (Token | null)[] | null = null;

  /** Data blocks in use. */
  get used(): number {
    const tokens = new Set<Token>();
    for (const volume of this.volumes.values())
      for (const token of volume.tokens) if (token) tokens.add(token);
    for (const token of this.held ?? []) if (token) tokens.add(token);
    return tokens.size;
  }

  hold(): void {
    this.held = [...this.volumes.values()].flatMap(volume => shared(volume.tokens));
  }

  unhold(): void {
    for (const token of this.held ?? []) if (token !== null) token.refs--;
    this.held = null;
  }
}
