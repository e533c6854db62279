/* A session that tells of changes to a file, or to what is in a directory: inotify(7). */
#include <linux/inotify.h>

#define WATCH_CHANGES (IN_ATTRIB | IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_DELETE_SELF | IN_MODIFY | \
		       IN_MOVE_SELF | IN_MOVED_FROM | IN_MOVED_TO)
/* Paths of what is watched. With the kernel's own limit this is what a directory can cost. */
#define WATCH_ROOM (1 << 20)
#define WATCH_HEADER 8
/* The two halves of a renaming are next to each other, but may be read one by one. */
#define OTHER_HALF_MS 50

/* One after the other, as a new one comes: its number, the length of its path, the path and a 0. The first is the root. */
static unsigned char watched[WATCH_ROOM];
static u32 watched_size, told;
static int changes, watch_root, watch_recursive;

/* A directory that has lost its name, and perhaps has another by now. */
static struct {
	u32 cookie, size;
	char path[MAX_PATH];
} moved;

static u32 watch_end(u32 at)
{
	return at + WATCH_HEADER + get32(watched + at + 4) + 1;
}

static char *watch_path(u32 at)
{
	return (char *)watched + at + WATCH_HEADER;
}

/* Where what has this number lies; watched_size if nowhere. */
static u32 find_watch(int number)
{
	u32 at = 0;

	while (at < watched_size && get32(watched + at) != (u32)number)
		at = watch_end(at);
	return at;
}

static int keep_watch(int number, const char *path, u32 size)
{
	if (size + WATCH_HEADER + 1 > WATCH_ROOM - watched_size)
		return 0;
	put32(watched + watched_size, number);
	put32(watched + watched_size + 4, size);
	copy(watched + watched_size + WATCH_HEADER, path, size);
	watched[watched_size + WATCH_HEADER + size] = 0;
	watched_size += WATCH_HEADER + size + 1;
	return 1;
}

static void drop_watch(u32 at)
{
	u32 end = watch_end(at);

	copy(watched + at, watched + end, watched_size - end);
	watched_size -= end - at;
}

/* Watches `path`, unless it is watched by another name. Returns a negative error number if that cannot be. */
static long add_watch(const char *path, u32 size, u32 how)
{
	long number = call(__NR_inotify_add_watch, changes, (long)path, WATCH_CHANGES | how, 0, 0);

	if (number < 0 || find_watch(number) < watched_size || keep_watch(number, path, size))
		return number;
	call(__NR_inotify_rm_watch, changes, number, 0, 0, 0);
	return -ENOSPC;
}

static void send_changes(void)
{
	if (told > 0)
		send_sent(FRAME_CHANGES, told);
	told = 0;
}

static void tell_change(u32 what, u32 cookie, const char *path, u32 size)
{
	if (told + 8 + size + 1 > FRAME_MAX)
		send_changes();
	put32(sent.bytes + told, what);
	put32(sent.bytes + told + 4, cookie);
	copy(sent.bytes + told + 8, path, size);
	sent.bytes[told + 8 + size] = 0;
	told += 8 + size + 1;
}

/* `folder`/`name` in `into`. Returns its length; 0 if it is too long to be used. */
static u32 join(char *into, const char *folder, const char *name)
{
	u32 size = length(folder), more = length(name);

	if (size + 1 + more + 1 > MAX_PATH)
		return 0;
	copy(into, folder, size);
	if (into[size - 1] != '/')
		into[size++] = '/';
	copy(into + size, name, more + 1);
	return size + more;
}

/*
 * Watches the directories below those from `at` on; `tells`: what is in them counts as just made. Who makes something
 * there meanwhile may be told of twice. What cannot be watched because it is gone again is no error.
 */
static long watch_below(u32 at, int tells)
{
	static char entries[32768], path[MAX_PATH];

	for (; at < watched_size; at = watch_end(at)) {
		long folder = call(__NR_open, (long)watch_path(at), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0, 0, 0), count;

		while (folder >= 0 &&
		       (count = call(__NR_getdents64, folder, (long)entries, sizeof(entries), 0, 0)) > 0) {
			for (long next = 0; next < count;) {
				struct entry *entry = (struct entry *)(entries + next);
				int is_folder = entry->type == DT_DIR || entry->type == DT_UNKNOWN;
				u32 size = is_dots(entry->name) ? 0 : join(path, watch_path(at), entry->name);
				long result = 0;

				next += entry->size;
				if (size == 0)
					continue;
				if (tells)
					tell_change(IN_CREATE, 0, path, size);
				if (is_folder)
					result = add_watch(path, size, IN_ONLYDIR | IN_DONT_FOLLOW);
				if (result == -ENOSPC || result == -ENOMEM) {
					call(__NR_close, folder, 0, 0, 0, 0);
					return -ENOSPC;
				}
			}
		}
		if (folder >= 0)
			call(__NR_close, folder, 0, 0, 0, 0);
	}
	return 0;
}

/* A directory has come to be below the root: by its making, whose beginning we have missed, or from elsewhere. */
static void watch_new(const char *path, u32 size, int tells)
{
	u32 at = watched_size;
	long result = add_watch(path, size, IN_ONLYDIR | IN_DONT_FOLLOW);

	if (result >= 0)
		result = watch_below(at, tells);
	if (result == -ENOSPC || result == -ENOMEM)
		tell_change(IN_Q_OVERFLOW, 0, "", 0);
}

/* Whether the path at `at` is `path` or below it. */
static int is_below(u32 at, const char *path, u32 size)
{
	const char *own = watch_path(at);

	return begins(own, path) && (own[size] == 0 || own[size] == '/');
}

/* The directory `path`, and what is below, is somewhere else: at `other`, or if that is 0 we do not know where. */
static void move_watches(const char *path, u32 size, const char *other, u32 other_size)
{
	static char renamed[MAX_PATH];
	u32 left = watched_size;

	for (u32 at = 0; at < left;) {
		u32 entry = watch_end(at) - at, number = get32(watched + at);
		u32 rest = get32(watched + at + 4) - size;
		int kept = 0;

		if (!is_below(at, path, size)) {
			at += entry;
			continue;
		}
		if (other && other_size + rest < MAX_PATH) {
			copy(renamed, other, other_size);
			copy(renamed + other_size, watch_path(at) + size, rest);
		}
		drop_watch(at);
		left -= entry;
		if (other && other_size + rest < MAX_PATH)
			kept = keep_watch(number, renamed, other_size + rest);
		if (!kept)
			call(__NR_inotify_rm_watch, changes, number, 0, 0, 0);
		if (!kept && other)
			tell_change(IN_Q_OVERFLOW, 0, "", 0);
	}
}

/* A directory that has left is at `path`; or, if that is 0, it was moved away. */
static void end_move(const char *path, u32 size)
{
	if (moved.size > 0)
		move_watches(moved.path, moved.size, path, size);
	moved.size = 0;
}

static void take_change(const struct inotify_event *change)
{
	static char path[MAX_PATH];
	u32 at = find_watch(change->wd), size;
	int is_folder = watch_recursive && (change->mask & IN_ISDIR);

	if (moved.size > 0 && !(change->mask & IN_MOVED_TO && change->cookie == moved.cookie))
		end_move(0, 0);
	if (change->mask & IN_Q_OVERFLOW) {
		tell_change(IN_Q_OVERFLOW, 0, "", 0);
		return;
	}
	if (at == watched_size)
		return;
	if (change->mask & IN_IGNORED) {
		drop_watch(at);
		return;
	}
	if (change->len == 0) { /* About itself: of others than the root, what they are in tells. */
		if (change->wd == watch_root)
			tell_change(change->mask, 0, watch_path(at), get32(watched + at + 4));
		return;
	}
	if (!(size = join(path, watch_path(at), change->name)))
		return;
	tell_change(change->mask, change->cookie, path, size);
	if (!is_folder)
		return;
	if (change->mask & IN_MOVED_FROM) {
		moved.cookie = change->cookie;
		moved.size = size;
		copy(moved.path, path, size + 1);
	} else if (change->mask & IN_MOVED_TO && moved.size > 0) {
		end_move(path, size);
	} else if (change->mask & (IN_CREATE | IN_MOVED_TO)) {
		watch_new(path, size, change->mask & IN_CREATE);
	}
}

static void pass_changes(void)
{
	static char queue[32768] __attribute__((aligned(8)));
	long count = call(__NR_read, changes, (long)queue, sizeof(queue), 0, 0);

	for (long at = 0; at < count;) {
		const struct inotify_event *change = (const struct inotify_event *)(queue + at);

		at += sizeof(*change) + change->len;
		take_change(change);
	}
	send_changes();
}

static void watch(char *path, u32 flags)
{
	long size = length(path), result;

	while (size > 1 && path[size - 1] == '/')
		path[--size] = 0;
	if (size >= MAX_PATH) {
		send_result(-ENAMETOOLONG);
		return;
	}
	watch_recursive = (flags & WITH_PARENTS) != 0;
	result = changes = call(__NR_inotify_init1, O_CLOEXEC | O_NONBLOCK, 0, 0, 0, 0);
	if (result >= 0)
		result = watch_root = add_watch(path, size, 0);
	if (result >= 0 && watch_recursive)
		result = watch_below(0, 0);
	if (result < 0) {
		send_result(result);
		return;
	}
	send_sent(FRAME_WATCHING, 0);
	for (;;) {
		struct pollfd files[2] = { { conn, POLLIN, 0 }, { changes, POLLIN, 0 } };

		if (call(__NR_poll, (long)files, 2, moved.size > 0 ? OTHER_HALF_MS : -1, 0, 0) == 0)
			end_move(0, 0);
		if (files[0].revents) /* Nothing more is to be said: it is the end. */
			return;
		if (files[1].revents)
			pass_changes();
	}
}
