// A real Debian root file system in two layers, as an image builder would make it: a minimal base, and the tools that
// `apt-get install` adds to it. Made once per recipe from this machine's Debian mirrors and kept in
// /var/cache/laminafs between runs; several processes may ask for it at once.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { needs } from './needs.js';

needs('mmdebstrap');

const CACHE = '/var/cache/laminafs';
const TOOLS = ['gcc', 'libc6-dev', 'git', 'sqlite3', 'rsync'];

// $1 = directory to make, $2 = apt sources, $3... = packages of the upper of the two layers. The second layer is what
// kernel overlayfs has in its upper directory after the installation.
const BUILD = String.raw`
set -eu
target=$1 sources=$2; shift 2
[ -e "$target" ] && exit 0
tmp=$(mktemp -d "$(dirname "$target")/making-XXXXXX")
mounts=
cleanup() { for m in $mounts; do umount "$m"; done; rm -rf --one-file-system "$tmp"; }
trap cleanup EXIT
chmod 755 "$tmp"; mkdir "$tmp/rootfs" "$tmp/rootfs/tools" "$tmp/work" "$tmp/view"
printf '%s\n' "$sources" | mmdebstrap --quiet --mode=root --variant=minbase '' "$tmp/rootfs/base" -
apt-config dump | grep -i '::proxy' >"$tmp/rootfs/base/etc/apt/apt.conf.d/80host" || true
view=$tmp/view
mount -t overlay overlay -o "lowerdir=$tmp/rootfs/base,upperdir=$tmp/rootfs/tools,workdir=$tmp/work" "$view"
mounts="$view"
mount -t proc proc "$view/proc"; mounts="$view/proc $mounts"
mount --bind /dev "$view/dev"; mounts="$view/dev $mounts"
cp -L /etc/resolv.conf "$view/etc/resolv.conf"
chroot "$view" sh -ec 'export DEBIAN_FRONTEND=noninteractive; apt-get -q update
  apt-get -q -y --no-install-recommends install "$@"; apt-get clean; rm -rf /var/lib/apt/lists/*' sh "$@"
for m in $mounts; do umount "$m"; done; mounts=
sync -f "$tmp"
mv "$tmp/rootfs" "$target"
`;

function sources(): string {
  const format = 'deb $(SITE) $(RELEASE) $(COMPONENT)';
  const args = ['indextargets', '--format', format, 'Created-By: Packages', 'Origin: Debian'];
  const targets = spawnSync('apt-get', args, { encoding: 'utf8' });
  const lines = [...new Set(targets.stdout.split('\n'))].filter(line => line !== '').sort();
  if (lines.length === 0) throw new Error('apt knows no Debian mirror; run apt-get update first');
  return lines.join('\n');
}

/** The layers of the root file system, top first; made now if this recipe has not been made on this machine. */
export function debianLayers(): string[] {
  const lines = sources();
  const recipe = createHash('sha256')
    .update([BUILD, lines, ...TOOLS].join('\0'))
    .digest('hex')
    .slice(0, 12);
  const target = `${CACHE}/rootfs-${recipe}`;
  if (!existsSync(target)) {
    spawnSync('mkdir', ['-p', CACHE]);
    const build = ['bash', '-c', BUILD, 'bash', target, lines, ...TOOLS];
    const made = spawnSync('flock', [`${CACHE}/lock`, ...build], { encoding: 'utf8', maxBuffer: 64 << 20 });
    if (made.status !== 0) throw new Error(`cannot make ${target}:\n${made.stdout}\n${made.stderr}`);
  }
  return [`${target}/tools`, `${target}/base`];
}
