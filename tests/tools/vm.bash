# tests/tools/vm.bash - a virtual machine for one test: another kernel over a tree of files that the test has made. To be sourced; $work is a directory of the
# test's own, which it removes. What cannot run here ends with code 77.
#
#   vm_kernel ARCH [DIRECTORY]   finds the kernel: boot/vmlinuz-* and lib/modules of DIRECTORY (as a linux-image package unpacks to), else one that is fetched
#                                from Debian; sets $vm_image and $vm_modules
#   vm_busybox ARCH              finds a static busybox for it likewise; sets $vm_busybox
#   vm_disk TREE SIZE            makes the disk of the tree, whose /init will be the first process
#   vm_run QEMU... -- APPEND     runs it until it ends, with its console on stdin and stdout; it has no network

vm_cannot() {
	echo "$(basename "$0"): cannot run here: $*"
	exit 77
}

# vm_fetch PACKAGE:ARCH DIRECTORY: unpacks a package of Debian's without installing it; false if there is none.
vm_fetch() {
	mkdir -p "$work/fetch" && (cd "$work/fetch" && apt-get -qq download "$1" && dpkg-deb -x ./*.deb "$2") >/dev/null 2>&1
	local code=$?
	rm -rf "$work/fetch"
	return $code
}

vm_kernel() { # ARCH [DIRECTORY]
	local tree=${2:-} package
	vm_image=
	[[ ! $tree ]] || vm_image=$(ls "$tree"/boot/vmlinuz-* 2>/dev/null | sort -V | tail -n1) || true
	if [[ ! $vm_image ]]; then
		tree=$work/kernel
		package=$(apt-cache depends "linux-image-cloud-$1:$1" 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^: ]*\).*/\1/p' | head -n1) || true
		[[ $package ]] && vm_fetch "$package:$1" "$tree" && vm_image=$(ls "$tree"/boot/vmlinuz-*) || vm_cannot "no kernel, and none can be fetched"
	fi
	vm_modules=$tree/lib/modules/${vm_image##*/vmlinuz-}
}

vm_busybox() { # ARCH
	vm_busybox=
	[[ $1 != $(dpkg --print-architecture) ]] || vm_busybox=$(type -P busybox) || true
	if [[ ! $vm_busybox ]]; then
		vm_fetch "busybox-static:$1" "$work/busybox" || vm_cannot "no static busybox, and none can be fetched"
		vm_busybox=$work/busybox/bin/busybox
	fi
}

vm_disk() { # TREE SIZE
	mke2fs -q -t ext4 -d "$1" "$work/disk" "$2"
}

# What the kernel begins with: loads what the disk needs, and goes on there.
vm_make_start() {
	local module
	mkdir -p "$work/start"/{bin,m,r}
	cp "$vm_busybox" "$work/start/bin/busybox"
	for module in virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk; do # those that are not built in
		find "$vm_modules" -name "$module.ko" -exec cp {} "$work/start/m/" \;
	done
	cat >"$work/start/init" <<-'END'
		#!/bin/busybox sh
		for again in 1 2 3; do for m in /m/*.ko; do /bin/busybox insmod $m 2>/dev/null; done; done
		/bin/busybox mkdir -p /dev; /bin/busybox mount -t devtmpfs d /dev
		while [ ! -e /dev/vda ]; do /bin/busybox sleep 0.1; done
		/bin/busybox mount -t ext4 /dev/vda /r && exec /bin/busybox switch_root /r /init
	END
	chmod +x "$work/start/init"
	(cd "$work/start" && find . | cpio -o -H newc 2>/dev/null | gzip) >"$work/initrd"
}

vm_run() { # QEMU... -- APPEND
	local qemu=()
	while [[ $1 != -- ]]; do
		qemu+=("$1") && shift
	done
	vm_make_start
	"${qemu[@]}" -nographic -no-reboot -nic none -kernel "$vm_image" -initrd "$work/initrd" -append "quiet loglevel=2 panic=-1 ${*:2}" \
		-drive "file=$work/disk,format=raw,if=virtio,cache=unsafe" | sed -u 's/\r$//'
}
