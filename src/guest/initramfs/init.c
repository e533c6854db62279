/*
 * The first program in an initramfs of ours. It loads the kernel modules listed in /dinovisor/modules/order, then
 * does what the kernel does with modules built in: it starts the /init of the initramfs that it is appended to, else
 * mounts root= and starts the init there. Alone in an initramfs it is /init itself; appended, the kernel is told
 * about it by rdinit=/dinovisor/init.
 */
#include "freestanding.h"
#include <linux/mount.h>

#define FOLDER "/dinovisor/"
#define MODULES FOLDER "modules/"
#define ORDER MODULES "order"
#define ROOT FOLDER "root"

#define ENODEV 19
#define EINVAL 22
#define EEXIST 17
#define EACCES 13
#define EROFS 30
#define MNT_DETACH 2
#define X_OK 1

/* How long a disk may take to appear: 500 looks, 10 ms apart. */
#define LOOKS 500
#define LOOK_NS 10000000

static char line[COMMAND_LINE_SIZE];

/* Whether the kernel started us without a console: its driver may be one of the modules. */
static int mute;

static long join(char *into, long size, const char *const *parts)
{
	long count = 0;

	for (; *parts; parts++)
		for (const char *at = *parts; *at && count < size - 1; at++)
			into[count++] = *at;
	into[count] = 0;
	return count;
}

/* One line in one write, so that it is one record in the kernel's log. <3> is the level of errors there. */
static void say_parts(const char *const *parts)
{
	char text[512];
	long count = join(text, sizeof(text), parts);

	call(__NR_write, 2, (long)(mute ? text : text + 3), mute ? count : count - 3, 0, 0);
}

#define SAY(...) say_parts((const char *const[]){ "<3>dinovisor init: ", __VA_ARGS__, "\n", 0 })

/* The decimal digits of an error number. */
static const char *digits(long error)
{
	static char text[8];
	char *at = text + sizeof(text) - 1;

	for (error = -error; at > text && (error > 0 || !*at); error /= 10)
		*--at = '0' + error % 10;
	return at;
}

/* The kernel panics when its first program ends, and says so: what we have said stands above. */
__attribute__((noreturn)) static void give_up(void)
{
	for (;;)
		call(__NR_exit, 1, 0, 0, 0, 0);
}

/* Standard input and outputs lead to `path`; 0 if they do. */
static long use_console(const char *path)
{
	long file = call(__NR_open, (long)path, O_RDWR, 0, 0, 0);

	if (file < 0)
		return file;
	for (long each = 0; each < 3; each++)
		call(__NR_dup2, file, each, 0, 0, 0);
	if (file > 2)
		call(__NR_close, file, 0, 0, 0, 0);
	return 0;
}

static void load_module(const char *name)
{
	char path[256];
	long file, error;

	join(path, sizeof(path), (const char *const[]){ MODULES, name, ".ko", 0 });
	file = call(__NR_open, (long)path, O_RDONLY, 0, 0, 0);
	error = file < 0 ? file : call(__NR_finit_module, file, (long)"", 0, 0, 0);
	if (error < 0 && error != -EEXIST)
		SAY("cannot load module ", name, ": error ", digits(error));
	if (file >= 0)
		call(__NR_close, file, 0, 0, 0, 0);
	call(__NR_unlink, (long)path, 0, 0, 0, 0); /* The kernel has its copy; the memory is the guest's. */
}

static void load_modules(void)
{
	static char order[16384];
	char *name = order;

	read_file(ORDER, order, sizeof(order));
	for (char *at = order; *at; at++) {
		if (*at != '\n')
			continue;
		*at = 0;
		load_module(name);
		name = at + 1;
	}
	call(__NR_unlink, (long)ORDER, 0, 0, 0, 0);
}

/* Does not return if the program can be started. */
static void start_program(const char *path, char **arguments, char **environment)
{
	arguments[0] = (char *)path;
	call(__NR_execve, (long)path, (long)arguments, (long)environment, 0, 0);
}

/* The user's own /init finds what it would find without us: nothing mounted. */
static void start_users_init(char **arguments, char **environment)
{
	if (call(__NR_access, (long)"/init", X_OK, 0, 0, 0) < 0)
		return;
	call(__NR_umount2, (long)"/sys", MNT_DETACH, 0, 0, 0);
	call(__NR_umount2, (long)"/proc", MNT_DETACH, 0, 0, 0);
	call(__NR_umount2, (long)"/dev", MNT_DETACH, 0, 0, 0);
	start_program("/init", arguments, environment);
	SAY("cannot start /init of the initrd");
	give_up();
}

/* The names of all block devices, each behind a blank. */
static const char *block_devices(void)
{
	static char names[256], entries[4096];
	long folder = call(__NR_open, (long)"/sys/class/block", O_RDONLY | O_DIRECTORY, 0, 0, 0);
	long count = 0, end, size;

	while (folder >= 0 && (end = call(__NR_getdents64, folder, (long)entries, sizeof(entries), 0, 0)) > 0) {
		/* struct linux_dirent64: the record's length is at 16, the name at 19. */
		for (char *at = entries; at < entries + end; at += size) {
			size = *(unsigned short *)(at + 16);
			if (at[19] != '.')
				count += join(names + count, sizeof(names) - count,
					      (const char *const[]){ " ", at + 19, 0 });
		}
	}
	return count ? names : " none; is the disk's driver among the modules?";
}

static void wait_for(const char *device)
{
	const long pause[2] = { 0, LOOK_NS };
	long error;

	for (int look = 0; (error = call(__NR_access, (long)device, 0, 0, 0, 0)) < 0; look++) {
		if (look == LOOKS) {
			SAY("root=", device, " has not appeared; block devices:", block_devices());
			give_up();
		}
		call(__NR_nanosleep, (long)pause, 0, 0, 0, 0);
	}
}

/* Mounts as one type. As the kernel's own mount_root(), takes a disk that cannot be written to read-only. */
static long mount_as(const char *device, const char *type, const char *options, long flags)
{
	long error = call(__NR_mount, (long)device, (long)ROOT, (long)type, flags, (long)options);

	if ((error == -EACCES || error == -EROFS) && !(flags & MS_RDONLY))
		return mount_as(device, type, options, flags | MS_RDONLY);
	return error;
}

/* Tries `types`, each ended by a comma or a line break; lines that begin with a word are "nodev" ones. */
static void mount_root(const char *device, char *types, const char *options, long flags)
{
	long error = -ENODEV;

	for (char *at = types, *type = types; *type; at++) {
		char end = *at;

		if (end && end != ',' && end != '\n')
			continue;
		*at = 0;
		if (*type) {
			long result = mount_as(device, type, options, flags | MS_SILENT);

			if (result == 0)
				return;
			if (result != -EINVAL || error == -ENODEV)
				error = result;
		}
		if (!end)
			break;
		type = at + 1;
	}
	SAY("cannot mount root=", device, ": error ", digits(error), ", no file system of the kernel's fits");
	give_up();
}

/* The kernel's file systems that live on disks, one a line. */
static char *disk_filesystems(void)
{
	static char list[4096];
	char *out = list;
	int skip = 0, first = 1;

	read_file("/proc/filesystems", list, sizeof(list) - 1);
	for (char *in = list; *in; in++) {
		if (first)
			skip = *in != '\t';
		else if (!skip)
			*out++ = *in;
		first = *in == '\n';
	}
	*out = 0;
	return list;
}

/* Ends the word at `value` by a 0. Call it when all words have been found. */
static char *word(char *value)
{
	for (char *at = value; at; at++)
		if (is_blank(*at)) {
			*at = 0;
			break;
		}
	return value;
}

/* Takes a mount along to the new root; one that has no folder there goes away. */
static void move(const char *from, const char *to)
{
	if (call(__NR_mount, (long)from, (long)to, 0, MS_MOVE, 0) < 0)
		call(__NR_umount2, (long)from, MNT_DETACH, 0, 0, 0);
}

/* Makes the mounted root everybody's root. */
static void switch_root(void)
{
	move("/dev", ROOT "/dev");
	move("/proc", ROOT "/proc");
	move("/sys", ROOT "/sys");
	call(__NR_chdir, (long)ROOT, 0, 0, 0, 0);
	call(__NR_mount, (long)".", (long)"/", 0, MS_MOVE, 0);
	call(__NR_chroot, (long)".", 0, 0, 0, 0);
	call(__NR_chdir, (long)"/", 0, 0, 0, 0);
}

__attribute__((noreturn)) static void start_root(char **arguments, char **environment)
{
	char *device, *type, *options, *init;
	long flags;

	read_file("/proc/cmdline", line, sizeof(line));
	device = find_word(line, "root=");
	type = find_word(line, "rootfstype=");
	options = find_word(line, "rootflags=");
	init = find_word(line, "init=");
	flags = find_word(line, "rw") > find_word(line, "ro") ? 0 : MS_RDONLY; /* The later one counts. */
	word(device), word(type), word(options), word(init);
	if (!device) {
		SAY("nothing to start: no root=/dev/NAME on the command line, no /init in the initrd");
		give_up();
	}
	if (!begins(device, "/dev/")) {
		SAY("cannot find root=", device, ": only root=/dev/NAME is understood");
		give_up();
	}
	wait_for(device);
	call(__NR_mkdir, (long)ROOT, 0755, 0, 0, 0);
	mount_root(device, type ? type : disk_filesystems(), options, flags);
	switch_root();
	if (init) {
		start_program(init, arguments, environment);
		SAY("cannot start init=", init);
		give_up();
	}
	start_program("/sbin/init", arguments, environment);
	start_program("/etc/init", arguments, environment);
	start_program("/bin/init", arguments, environment);
	start_program("/bin/sh", arguments, environment);
	SAY("cannot start any of /sbin/init, /etc/init, /bin/init, /bin/sh in ", device);
	give_up();
}

__attribute__((noreturn, used)) static void start(long *stack)
{
	char **arguments = (char **)(stack + 1), **environment = arguments + stack[0] + 1;

	call(__NR_mkdir, (long)"/dev", 0755, 0, 0, 0);
	call(__NR_mkdir, (long)"/proc", 0755, 0, 0, 0);
	call(__NR_mkdir, (long)"/sys", 0755, 0, 0, 0);
	mount("devtmpfs", "/dev");
	mount("proc", "/proc");
	mount("sysfs", "/sys");
	mute = call(__NR_fcntl, 2, F_GETFD, 0, 0, 0) < 0;
	if (mute)
		use_console("/dev/kmsg");
	load_modules();
	/* The console may be another one by now. */
	if (use_console("/dev/console") == 0)
		mute = 0;
	if (!begins(arguments[0], "/init"))
		start_users_init(arguments, environment);
	start_root(arguments, environment);
}
