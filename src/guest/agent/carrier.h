/*
 * The agent in somebody else's initrd: the kernel starts it as its first program (rdinit=/dinovisor/agent). It leaves a
 * process of its own behind, which becomes the agent, and goes on as the program that would have been the first: what
 * that one does (modules, mounts, another root) is its own business, and the agent waits for a way to the host.
 */
#include <linux/mount.h>
#include <linux/reboot.h>

#define FOLDER "/dinovisor/"
/* The path of the program to go on as. */
#define NEXT FOLDER "next"
/* The agent for guests without vsock, if one is carried. */
#define SHELL_AGENT FOLDER "agent.sh"

/* How long a driver of vsock is waited for between two looks, in nanoseconds. */
#define LOOK_NS 100000000
/* How long the first program may take to end the machine. */
#define GRACE_SECONDS 3

static int is_carried;
/* A procfs of our own, mounted nowhere: whoever unmounts /proc is not kept from it. -1 before Linux 5.2. */
static long own_proc = -1;

static void sleep_for(long seconds, long nanoseconds)
{
	const long time[2] = { seconds, nanoseconds };

	call(__NR_nanosleep, (long)time, 0, 0, 0, 0);
}

static void open_proc(void)
{
	long context = call(__NR_fsopen, (long)"proc", 1 /* FSOPEN_CLOEXEC */, 0, 0, 0);

	if (context < 0)
		return;
	if (call(__NR_fsconfig, context, FSCONFIG_CMD_CREATE, 0, 0, 0) == 0)
		own_proc = call(__NR_fsmount, context, FSMOUNT_CLOEXEC, 0, 0, 0);
	call(__NR_close, context, 0, 0, 0, 0);
}

/* A session works where the first program is by now: in the initrd, or in the root it has switched to. */
static void enter_root(void)
{
	long root = call(__NR_openat, own_proc, (long)"1/root", O_DIRECTORY | O_CLOEXEC, 0, 0);

	if (root >= 0) {
		call(__NR_fchdir, root, 0, 0, 0, 0);
		call(__NR_chroot, (long)".", 0, 0, 0, 0);
		call(__NR_close, root, 0, 0, 0, 0);
	}
	if (call(__NR_chdir, (long)"/root", 0, 0, 0, 0) < 0)
		call(__NR_chdir, (long)"/", 0, 0, 0, 0);
}

/* In a process of its own: the shell's agent, which looks for its port until there is one. */
static void start_shell_agent(void)
{
	static char *words[] = { "sh", SHELL_AGENT, 0 };

	if (call(__NR_access, (long)SHELL_AGENT, 0, 0, 0, 0) < 0 || call(__NR_clone, SIGCHLD, 0, 0, 0, 0) != 0)
		return;
	call(__NR_execve, (long)"/bin/sh", (long)words, (long)own_environment, 0, 0);
	leave(127);
}

/*
 * What the default guest's first program gives the agent, for commands: a user's one may have given it nothing. The last
 * one is for kernels that do not save AVX registers; where ring 3 sees the host's CPUID, glibc cannot know.
 */
static char *carried_environment[] = {
	"PATH=/usr/sbin:/usr/bin:/sbin:/bin",
	"HOME=/root",
	"TERM=vt100",
	"GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX,-AVX2,-AVX512F,-AVX512VL,-AVX_Fast_Unaligned_Load",
	0,
};

/* Returns in the process that is to be the agent, or at once when we are no first program. */
static void carry(long *stack)
{
	static char next[MAX_PATH];
	char **arguments = (char **)(stack + 1);
	long end;

	if (call(__NR_getpid, 0, 0, 0, 0, 0) != 1)
		return;
	if (call(__NR_clone, SIGCHLD, 0, 0, 0, 0) == 0) {
		is_carried = 1;
		call(__NR_setsid, 0, 0, 0, 0, 0);
		/* A first program that ends all others before it switches the root leaves us alone (systemd: ROOT_STORAGE_DAEMONS). */
		arguments[0][0] = '@';
		own_environment = carried_environment;
		open_proc();
		start_shell_agent();
		return;
	}
	for (end = read_file(NEXT, next, sizeof(next)); end > 0 && next[end - 1] <= ' ';)
		next[--end] = 0;
	arguments[0] = next;
	call(__NR_execve, (long)next, (long)arguments, (long)own_environment, 0, 0);
	call(__NR_write, 2, (long)"dinovisor agent: cannot start ", 30, 0, 0);
	call(__NR_write, 2, (long)next, end, 0, 0);
	call(__NR_write, 2, (long)"\n", 1, 0, 0);
	leave(1); /* The kernel panics, and says so: what we have said stands above. */
}

/* After the first program was asked to end everything: a script does not understand that. */
static void power_off(void)
{
	sleep_for(GRACE_SECONDS, 0);
	call(__NR_sync, 0, 0, 0, 0, 0);
	call(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_POWER_OFF, 0, 0);
}
