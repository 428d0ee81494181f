/* cowfs/marker.c - real objects of the host that stand for a record in a descriptor or a cwd: an empty directory for a directory of the view,
 * a symlink for a symlink, a socket for a socket or a device. They live in mark_dir, which is this run's alone, and go with the record. */
#include "internal.h"

void marker_name(const CowNode *node, char name[40])
{
	char type = S_ISDIR(node->mode) ? 'd' : S_ISLNK(node->mode) ? 'l' : 's';

	snprintf(name, 40, "%c%llx", type, (unsigned long long)node->id);
}

void marker_remove(Cowfs *fs, CowNode *node)
{
	char name[40];

	struct stat st;

	marker_name(node, name);
	if (fs->quota && fstatat(fs->mark_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		quota_object_gone(fs, node, (uint64_t)st.st_blocks * 512);
	(void)unlinkat(fs->mark_fd, name, S_ISDIR(node->mode) ? AT_REMOVEDIR : 0); /* what stays is emptied at the next start */
	node->flags &= ~(unsigned)N_MARKER;
}

int marker_dir(Cowfs *fs)
{
	if (fs->mark_fd >= 0)
		return 0;
	if (!fs->mark_dir)
		return -EROFS;
	int rc = bv_mkdir_all(fs->mark_dir);
	if (rc < 0)
		return rc;
	fs->mark_fd = open(fs->mark_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fs->mark_fd < 0 ? bv_neg_errno() : 0;
}

/* A bound socket has its object already; one that was made by mknod, or bound before this run, gets one that nobody listens on, as has a device, which is never opened. */
static int make_object(Cowfs *fs, const CowNode *node, const char *name)
{
	int rc;

	if (S_ISDIR(node->mode))
		rc = mkdirat(fs->mark_fd, name, 0700);
	else if (S_ISLNK(node->mode))
		rc = symlinkat(node->target, fs->mark_fd, name);
	else
		rc = mknodat(fs->mark_fd, name, S_IFSOCK | 0600, 0);
	return rc < 0 && errno != EEXIST ? bv_neg_errno() : 0;
}

int marker_make(Cowfs *fs, CowNode *node, char name[40])
{
	struct stat st;

	marker_name(node, name);
	if (node->flags & N_MARKER)
		return 0;
	if (node->flags & N_DEAD)
		return -ENOENT;
	int rc = marker_dir(fs);
	if (rc == 0 && !S_ISSOCK(node->mode)) /* one that was bound is there */
		rc = quota_object(fs, node);
	if (rc < 0)
		return rc;
	rc = make_object(fs, node, name);
	if (rc < 0)
		return rc;
	if (fstatat(fs->mark_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return bv_neg_errno();
	quota_object_made(fs, node, (uint64_t)st.st_blocks * 512);
	node->flags |= N_MARKER;
	ident_set(fs, &node->own_id, node, st.st_dev, st.st_ino);
	return 0;
}
