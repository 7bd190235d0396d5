// The life of an image and of containers with containerd, as a table: each step must print the same with laminafs as with
// containerd's own overlayfs. Variables: S (snapshotter), TAR (the image), REGISTRY (host and port).

export interface Step {
  readonly name: string;
  readonly run: string;
  /** What it must print, where that is worth saying. */
  readonly says?: RegExp;
}

export const REFERENCE = 'docker.io/t/box:1';

/** Layers of the image, above busybox: each has what layer tars can have. */
export const LAYERS: readonly string[] = [
  `mkdir -p data dir/sub opaque/old
   echo a >data/a; echo b >data/b; seq 2000 >data/long; ln data/a data/hard; ln -s ../data/b dir/link
   echo x >dir/x; echo y >dir/sub/y; echo o >opaque/old/o; chmod 4755 data/b; chown 1234:5678 dir/x; chmod 700 dir/sub
   mknod data/device c 1 3; mkfifo data/fifo; truncate -s 10M data/sparse; mkdir sticky; chmod 1777 sticky
   setfattr -n user.note -v hello data/long; cp "$(command -v busybox)" dir/can; setcap cap_net_raw+ep dir/can`,
  `mkdir -p data dir opaque; touch data/.wh.a opaque/.wh..wh..opq dir/.wh.sub; echo n >opaque/new; echo B >data/b
   mkdir -m 750 added; echo z >added/z; ln added/z added/z2; chmod 711 dir`,
  `mkdir -p data opaque dir/sub; echo again >data/a; touch .wh.added; echo file >sticky; echo s >dir/sub/s`,
];

const LIST = `find / -xdev | sort | while read -r f; do
  if test -d "$f"; then stat -c '%n %F %a %u %g' "$f"; else stat -c '%n %F %a %u %g %h %s %t,%T' "$f"; fi; done
  find / -xdev -type f | sort | xargs md5sum; readlink /dir/link`;
const IN = `run --rm ${REFERENCE} one-$S sh -c`;

export const STEPS: readonly Step[] = [
  { name: 'import', run: 'ctr images import --snapshotter $S "$TAR"', says: /unpacking .*box:1.*done/ },
  { name: 'layers', run: `snapshots ls | awk '{ print $1, $NF }'`, says: /(sha256:\S+ Committed\s+){4}$/ },
  {
    name: 'usage',
    run: `snapshots usage | awk 'NR > 1 { print $1, $4 }'`,
    says: /^(sha256:\S+ \d+\s+){4}$/,
  },
  { name: 'the tree', run: `${IN} '${LIST.replaceAll("'", `'\\''`)}'`, says: /^\/opaque\/new regular file/m },
  { name: 'capabilities and attributes', run: `${IN} 'wc -c /dir/can; cat /data/a /opaque/new /dir/sub/s'` },
  {
    name: 'a container that changes things, and stays',
    run: `run ${REFERENCE} changed-$S sh -c 'echo more >>/data/long; rm /data/b; mv /dir /moved || cp -a /dir /moved
      mkdir -p /new/deep; ln /data/a /new/deep/link; chmod 700 /opaque; chown 3:4 /bin/busybox; : >/data/sparse
      rm -r /opaque; mkdir /opaque; echo w >/opaque/w; ln -s nowhere /new/symlink'`,
  },
  {
    name: 'its difference',
    run: `snapshots diff changed-$S | tar tvz --numeric-owner | sed 's/20..-..-.. ..:..//' | sort -k 4 | grep -v ' run/$'`,
    says: / \.wh\.dir$[\s\S]* data\/\.wh\.b$[\s\S]*opaque\/w$/m,
  },
  {
    name: 'the image is as it was',
    run: `${IN} 'tail -n 1 /data/long; cat /data/b /opaque/new; ls /dir'`,
    says: /^2000\nB\nn\n/,
  },
  {
    name: 'a running container, a program in it, its end',
    run: `run -d ${REFERENCE} sleeping-$S sh -c 'echo here >/where; exec sleep 1000'
      ctr task ls | awk '/sleeping/ { print $3 }'
      ctr task exec --exec-id x sleeping-$S cat /where
      ctr task rm -f sleeping-$S
      ctr task start -d sleeping-$S; ctr task exec --exec-id y sleeping-$S cat /where
      ctr task rm -f sleeping-$S; ctr containers rm sleeping-$S`,
    says: /^RUNNING\nhere\nhere\n/,
  },
  {
    name: 'a commit, and a container’s tree on it',
    run: `snapshots commit committed-$S changed-$S; ctr containers rm changed-$S
      snapshots prepare seen-$S committed-$S; mkdir -p seen; eval "$(snapshots mounts "$PWD/seen" seen-$S)"
      (cd seen; find . | sort; tail -n 1 data/long; stat -c '%u:%g' bin/busybox; echo x >x)
      umount seen; snapshots rm seen-$S; snapshots info committed-$S | grep -v 'ated\\|gc.root'`,
    says: /^\.\/new\/deep\/link$[\s\S]*^more\n3:4$/m,
  },
  {
    name: 'labels, and what may not go',
    run: `snapshots label committed-$S containerd.io/snapshot/note=x mine=y >label; snapshots info committed-$S | grep 'note\\|mine'
      snapshots prepare twice-$S committed-$S; ! snapshots rm committed-$S 2>&1 | sed 's/.*: //'
      ! snapshots prepare two committed-none 2>&1 | sed 's/.*: //'; ! snapshots prepare twice-$S committed-$S 2>&1 | sed 's/.*: //'
      snapshots rm twice-$S`,
    says: /snapshot\/note[\s\S]*\nfailed precondition\nnot found\nalready exists\n/,
  },
  {
    name: 'push, and pull',
    run: `ctr images tag ${REFERENCE} $REGISTRY/t/box:$S >/dev/null; ctr images push --plain-http $REGISTRY/t/box:$S >/dev/null
      ctr images rm --sync $REGISTRY/t/box:$S ${REFERENCE} >/dev/null; snapshots ls | grep -c sha256: || true
      snapshots rm committed-$S; ctr content prune references >/dev/null
      ctr images pull --plain-http --snapshotter $S $REGISTRY/t/box:$S >/dev/null
      run --rm $REGISTRY/t/box:$S pulled sh -c '${LIST.replaceAll("'", `'\\''`)}'`,
    says: /^5\n/,
  },
  {
    name: 'nothing is left',
    run: `ctr images rm --sync $(ctr images ls -q) >/dev/null; ctr containers ls -q; snapshots ls`,
    says: /^KEY\s+PARENT\s+KIND\s*$/,
  },
];
