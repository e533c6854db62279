/* A session that reads, writes or changes a file. */
#include <asm/stat.h>

#define WRITE_APPEND 1        /* flags of FRAME_WRITE */
#define WRITE_NEW 2
#define WITH_PARENTS 1        /* of FRAME_MKDIR: all that is missing; of FRAME_REMOVE, FRAME_WATCH: all that is inside */
#define NO_FOLLOW 1           /* of FRAME_STAT */

#define DT_UNKNOWN 0          /* dirent.h */
#define DT_DIR 4

static void read_whole(const char *path)
{
	long file = call(__NR_open, (long)path, O_RDONLY | O_CLOEXEC, 0, 0, 0), count;

	while (file >= 0 && (count = call(__NR_read, file, (long)sent.bytes, FRAME_MAX, 0, 0)) != 0) {
		if (count == -EINTR)
			continue;
		if (count < 0) {
			send_result(count);
			return;
		}
		send_sent(FRAME_CONTENT, count);
	}
	send_result(file);
}

static long write_all(int file, const unsigned char *bytes, long count)
{
	while (count > 0) {
		long done = call(__NR_write, file, (long)bytes, count, 0, 0);

		if (done == -EINTR)
			continue;
		if (done < 0)
			return done;
		bytes += done;
		count -= done;
	}
	return 0;
}

/* FRAME_DATA follow, an empty one at the end. After an error the rest is taken and dropped: the answer comes last. */
static void write_whole(const char *path, u32 flags, u32 mode)
{
	long how = O_WRONLY | O_CREAT | O_CLOEXEC | (flags & WRITE_APPEND ? O_APPEND : O_TRUNC) |
		   (flags & WRITE_NEW ? O_EXCL : 0);
	long file = call(__NR_open, (long)path, how, mode == UNCHANGED ? 0666 : mode, 0, 0);
	long result = file < 0 ? file : 0;

	if (file >= 0 && mode != UNCHANGED)
		result = call(__NR_fchmod, file, mode, 0, 0, 0);
	for (;;) {
		receive_frame();
		if (received.type != FRAME_DATA)
			leave(1);
		if (received.size == 0)
			break;
		if (result >= 0)
			result = write_all(file, received.bytes, received.size);
	}
	if (file >= 0) {
		long closed = call(__NR_close, file, 0, 0, 0, 0);

		if (result >= 0)
			result = closed;
	}
	send_result(result);
}

/* What FRAME_ENTRY says of a file: see protocol.ts. Returns its size. */
static u32 describe(const struct stat *status)
{
	const unsigned long words[] = {
		status->st_mode, status->st_ino, status->st_dev, status->st_nlink, status->st_uid, status->st_gid,
		status->st_rdev, status->st_size, status->st_blksize, status->st_blocks,
		status->st_atime, status->st_atime_nsec, status->st_mtime, status->st_mtime_nsec,
		status->st_ctime, status->st_ctime_nsec,
	};

	for (u32 i = 0; i < sizeof(words) / sizeof(*words); i++)
		put64(sent.bytes + 8 * i, words[i]);
	return sizeof(words);
}

static void tell_status(const char *path, u32 flags)
{
	struct stat status;
	long result = call(flags & NO_FOLLOW ? __NR_lstat : __NR_stat, (long)path, (long)&status, 0, 0, 0);

	if (result >= 0)
		send_sent(FRAME_ENTRY, describe(&status));
	send_result(result);
}

/* struct linux_dirent64, which the kernel's headers for programs do not have. */
struct entry {
	unsigned long inode, offset;
	unsigned short size;
	unsigned char type;
	char name[];
};

static int is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

static void list(const char *path)
{
	static char entries[32768];
	long folder = call(__NR_open, (long)path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0, 0), count = folder;

	while (folder >= 0 && (count = call(__NR_getdents64, folder, (long)entries, sizeof(entries), 0, 0)) > 0) {
		for (long at = 0; at < count;) {
			struct entry *entry = (struct entry *)(entries + at);
			long size = length(entry->name);

			at += entry->size;
			if (is_dots(entry->name))
				continue;
			put32(sent.bytes, entry->type);
			copy(sent.bytes + 4, entry->name, size);
			send_sent(FRAME_ENTRY, 4 + size);
		}
	}
	send_result(count);
}

static long make_folder(char *path, u32 flags, u32 mode)
{
	long result;

	if (!(flags & WITH_PARENTS))
		return call(__NR_mkdir, (long)path, mode, 0, 0, 0);
	for (char *at = path + 1;; at++) {
		char end = *at;

		if (end && end != '/')
			continue;
		*at = 0;
		result = call(__NR_mkdir, (long)path, mode, 0, 0, 0);
		*at = end;
		if (!end)
			break;
	}
	if (result == -EEXIST) {
		struct stat status;

		if (call(__NR_stat, (long)path, (long)&status, 0, 0, 0) >= 0 && (status.st_mode & 0170000) == 0040000)
			return 0;
	}
	return result;
}

static long remove_all(char *path, long size);

/* Everything in a folder. The folder is read again after each lot: removing while reading may skip entries. */
static long empty_folder(char *path, long size)
{
	char entries[4096];
	long count, result;

	do {
		long folder = call(__NR_open, (long)path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW, 0, 0, 0);
		int removed = 0;

		if (folder < 0)
			return folder;
		count = call(__NR_getdents64, folder, (long)entries, sizeof(entries), 0, 0);
		call(__NR_close, folder, 0, 0, 0, 0);
		for (long at = 0; at < count;) {
			struct entry *entry = (struct entry *)(entries + at);
			long more = length(entry->name);

			at += entry->size;
			if (is_dots(entry->name))
				continue;
			if (size + 1 + more + 1 > MAX_PATH)
				return -ENAMETOOLONG;
			path[size] = '/';
			copy(path + size + 1, entry->name, more + 1);
			result = remove_all(path, size + 1 + more);
			path[size] = 0;
			if (result < 0)
				return result;
			removed = 1;
		}
		if (!removed)
			return count < 0 ? count : 0;
	} while (count > 0);
	return 0;
}

static long remove_all(char *path, long size)
{
	long result = call(__NR_unlink, (long)path, 0, 0, 0, 0);

	if (result != -EISDIR)
		return result;
	result = empty_folder(path, size);
	return result < 0 ? result : call(__NR_rmdir, (long)path, 0, 0, 0, 0);
}

static long remove_one(const char *path, u32 flags)
{
	static char name[MAX_PATH];
	long size = length(path), result;

	if (size >= MAX_PATH)
		return -ENAMETOOLONG;
	copy(name, path, size + 1);
	while (size > 1 && name[size - 1] == '/')
		name[--size] = 0;
	if (flags & WITH_PARENTS)
		return remove_all(name, size);
	result = call(__NR_unlink, (long)name, 0, 0, 0, 0);
	return result == -EISDIR ? call(__NR_rmdir, (long)name, 0, 0, 0, 0) : result;
}
