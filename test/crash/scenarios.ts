// What the crash tests do at the moment of the crash: one change each, with what has to be there before it. Scripts are
// bash, run in the mount, and make exactly one change that a user sees; `prepare` runs in an earlier, whole mount.

export interface Scenario {
  readonly name: string;
  readonly prepare?: string;
  readonly change: string;
}

/** Two lower layers; l1 is the top one. Everything has an old time. */
export const LAYERS = `mkdir -p l1/a/b l2/a/b/c l2/lower/sub l2/empty l1/wide l2/wide
  head -c 300000 /dev/zero | tr '\\0' d >l2/a/b/file; chmod 4755 l2/a/b/file; setfattr -n user.note -v kept l2/a/b/file
  echo one >l1/a/one; echo two >l2/a/two; echo f >l2/a/b/c/f; echo s >l2/lower/sub/s; ln -s target l2/a/link
  echo linked >l2/a/h1; ln l2/a/h1 l2/h2; for i in 1 2 3; do echo $i >l1/wide/$i; echo $i >l2/wide/low$i; done; echo top >l2/top
  mkfifo l2/fifo; truncate -s 1M l2/sparse; echo tail >>l2/sparse`;

// Copies up the directories on the way to the deep files: the steps of that are taken once, by the scenarios without it.
const PARENTS = 'touch a/b/c';

const copyUp: Scenario[] = [
  { name: 'open for writing', prepare: PARENTS, change: 'exec 3<>a/b/file' },
  { name: 'chmod of a deep file', change: 'chmod 700 a/b/file' },
  { name: 'truncate', prepare: PARENTS, change: 'truncate -s 5 a/b/file' },
  { name: 'open with O_TRUNC', prepare: PARENTS, change: ': >a/b/file' },
  { name: 'setxattr', prepare: PARENTS, change: 'setfattr -n user.note -v new a/b/file' },
  { name: 'chmod of a directory', change: 'chmod 700 a/b/c' },
  { name: 'chown of a symlink', prepare: PARENTS, change: 'chown -h 5:6 a/link' },
  { name: 'chmod of a fifo', change: 'chmod 600 fifo' },
  { name: 'chmod of a sparse file', change: 'chmod 600 sparse' },
  { name: 'chmod of a hard link', prepare: PARENTS, change: 'chmod 600 a/h1' },
  { name: 'the second name of a copied-up hard link', prepare: 'chmod 600 a/h1', change: 'chmod 640 h2' },
  { name: 'link to a lower file', prepare: PARENTS, change: 'ln a/two a/three' },
];

const removal: Scenario[] = [
  { name: 'unlink of a lower file', prepare: PARENTS, change: 'rm a/b/c/f' },
  { name: 'unlink of a copied-up file', prepare: 'echo x >>a/two', change: 'rm a/two' },
  { name: 'unlink of a new file', prepare: 'echo x >a/new', change: 'rm a/new' },
  { name: 'unlink of one of two hard links', prepare: `${PARENTS}; chmod 600 h2`, change: 'rm a/h1' },
  { name: 'rmdir of a lower directory', change: 'rmdir empty' },
  { name: 'rmdir of a merged directory full of whiteouts', prepare: 'rm wide/*', change: 'rmdir wide' },
  { name: 'rmdir of an opaque directory', prepare: 'rm -r wide; mkdir wide', change: 'rmdir wide' },
];

const creation: Scenario[] = [
  { name: 'create', prepare: PARENTS, change: ': >a/b/c/new' },
  { name: 'create over a whiteout', prepare: 'rm a/two', change: ': >a/two' },
  { name: 'mkdir over a whiteout', prepare: 'rm -r lower', change: 'mkdir lower' },
  { name: 'symlink over a whiteout', prepare: 'rm a/two', change: 'ln -s x a/two' },
  { name: 'mkfifo over a whiteout', prepare: 'rm a/two', change: 'mkfifo a/two' },
  { name: 'link over a whiteout', prepare: `${PARENTS}; rm a/two`, change: 'ln a/b/file a/two' },
  { name: 'mkdir', prepare: PARENTS, change: 'mkdir a/b/new' },
];

const rename: Scenario[] = [
  { name: 'rename of a lower file', prepare: PARENTS, change: 'mv a/b/file a/moved' },
  { name: 'rename of a lower file over a lower file', prepare: PARENTS, change: 'mv a/two top' },
  {
    name: 'rename of a new file over a lower file',
    prepare: `${PARENTS}; echo new >n`,
    change: 'mv n a/two',
  },
  { name: 'rename of a new file over a whiteout', prepare: 'echo new >n; rm a/two', change: 'mv n a/two' },
  { name: 'rename of a lower directory', change: 'mv lower a/lower2' },
  { name: 'rename of a merged directory', change: 'mv a lower/a2' },
  {
    name: 'rename of a directory over an empty merged one',
    prepare: `${PARENTS}; rm wide/*`,
    change: 'mv -T a/b wide',
  },
  { name: 'rename of a directory over a whiteout', prepare: 'rm top', change: 'mv -T a top' },
  { name: 'rename of a hard link', prepare: PARENTS, change: 'mv a/h1 a/h3' },
  {
    name: 'exchange of a directory and a file',
    change: `python3 -c "import ctypes; exit(ctypes.CDLL(None).renameat2(-100, b'a', -100, b'top', 2))"`,
  },
];

export const SCENARIOS: Readonly<Record<string, readonly Scenario[]>> = { copyUp, removal, creation, rename };
