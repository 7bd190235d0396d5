// Directory trees as lines that can be compared, read by find, sha256sum and getfattr in processes of their own, so
// that a mount that does not answer cannot hang the test.
import { sh } from './daemon.js';

/** Seconds. */
const NEW_SINCE = Math.floor(Date.now() / 1000) - 3600;
const XATTRS = `getfattr --absolute-names -h -R -P -d -m - -e hex . 2>/dev/null |
  awk '/^# file: /{f=substr($0,9);next} NF{print f " " $0}' | LC_ALL=C sort`;
const CONTENT = 'find . -type f -print0 | LC_ALL=C sort -z | xargs -0 -r sha256sum';

/**
 * What a user sees below `dir`: type, mode, owner, size and links of what is not a directory, target, device numbers,
 * content and extended attributes. Modification times of files are in it when they are older than an hour before this
 * process began: tests give their layers old times, and what a test changes itself is new. (An hour before each look
 * would have a file be new at one look and old at the next.)
 */
export function tree(dir: string): string[] {
  const attributes = String.raw`find . \( -type d -printf '%p d %m %U:%G\n' \) -o -printf '%p %y %m %U:%G %s %n %T@ %l\n' |
    awk -v since=${NEW_SINCE} '$2 != "d" { if ($7 > since) $7 = "new"; } { print }' | LC_ALL=C sort
    find . \( -type c -o -type b \) -exec stat -c '%n %t,%T' {} + | LC_ALL=C sort`;
  return sh(`${attributes}\n${CONTENT}\n${XATTRS}`, { cwd: dir }).split('\n');
}

/** All that must not change in a lower layer: content, every attribute but the access time, inode numbers, xattrs. */
export function fingerprint(...dirs: string[]): string {
  const attributes = String.raw`find . -printf '%p %i %y %m %U:%G %s %n %T@ %C@ %l\n' | LC_ALL=C sort`;
  return dirs.map(dir => sh(`${attributes}\n${CONTENT}\n${XATTRS}`, { cwd: dir })).join('\n');
}

/** What lies in a work directory beside what belongs there: `work`, and links of indexed files in `index`. */
export function rubbish(work: string): string[] {
  const inIndex = '-regextype posix-egrep -regex "./index/[0-9a-f]+"';
  return sh(`find . -mindepth 1 -not -path ./work -not -path ./index -not \\( ${inIndex} \\)`, { cwd: work })
    .split('\n')
    .filter(line => line !== '');
}
