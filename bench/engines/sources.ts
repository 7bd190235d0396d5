// The images that engines are given: a root with busybox, and one with 20 000 small files besides.

/** An image in the form of docker save: $1 its name, $2 the layer, $3 the archive. */
const IMAGE = `mkdir i; cp "$2" i/layer.tar; id=$(sha256sum <"$2" | cut -d' ' -f1)
printf '{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created":"2026-01-01T00:00:00Z"}]}' "$id" >i/config.json
printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$1" >i/manifest.json
tar -C i -cf "$3" .; rm -r i`;

/** A root with busybox, and one with 20 000 small files besides; as layers and as images. */
export const SOURCES = `mkdir -p root/bin root/files root/tmp; cp /usr/bin/busybox root/bin/
for a in sh true echo seq cat; do ln -s busybox root/bin/$a; done
tar -C root -cf small.tar .
for d in $(seq 0 99); do mkdir root/files/d$d; for f in $(seq 0 199); do echo "file $f of $d" >root/files/d$d/f$f; done; done
tar -C root -cf big.tar .
image() { ${IMAGE}
}
image bench.local/small:1 small.tar small-image.tar; image bench.local/big:1 big.tar big-image.tar`;
