// The mount options that random sequences run under: what changes how a union keeps its books.
import type { Random } from './random.js';
import type { Prefix } from './random-layers.js';

export interface Variant {
  readonly options: readonly string[];
  /** How the layers' marks are spelled. */
  readonly prefix: Prefix;
  /** Every other lower layer lies on another file system than the upper. */
  readonly otherFs: boolean;
  /**
   * Which names of a hard link that copy-up broke share an inode depends on what the kernel has looked up: so it is
   * without an index, and with userxattr, whose index cannot mark symlinks.
   */
  readonly vagueIdentity: boolean;
  /** With metacopy overlayfs moves a file's time when its data comes, and we do not. */
  readonly vagueTimes: boolean;
}

type Choice = readonly [number, Omit<Variant, 'vagueIdentity' | 'vagueTimes'>];

const variants: readonly Choice[] = [
  [6, { options: ['redirect_dir=on', 'index=on', 'xino=on'], prefix: 'trusted', otherFs: false }],
  [3, { options: ['redirect_dir=on', 'index=on', 'xino=on'], prefix: 'trusted', otherFs: true }],
  [3, { options: ['redirect_dir=off', 'index=on', 'xino=on'], prefix: 'trusted', otherFs: false }],
  [3, { options: ['redirect_dir=on', 'index=off', 'xino=on'], prefix: 'trusted', otherFs: false }],
  [2, { options: ['redirect_dir=off', 'index=off', 'xino=off'], prefix: 'trusted', otherFs: true }],
  [2, { options: ['userxattr', 'index=on'], prefix: 'user', otherFs: false }],
  [1, { options: ['userxattr', 'index=off'], prefix: 'user', otherFs: true }],
  [
    3,
    { options: ['redirect_dir=on', 'index=on', 'xino=on', 'metacopy=on'], prefix: 'trusted', otherFs: false },
  ],
  [
    2,
    {
      options: ['redirect_dir=on', 'index=off', 'xino=on', 'metacopy=on'],
      prefix: 'trusted',
      otherFs: false,
    },
  ],
];

export function variantOf(random: Random): Variant {
  const chosen = random.weighted(variants);
  const vagueIdentity = chosen.prefix === 'user' || !chosen.options.includes('index=on');
  return { ...chosen, vagueIdentity, vagueTimes: chosen.options.includes('metacopy=on') };
}
