// SPDX-License-Identifier: Apache-2.0
// An agent's program that uses libasm in every way that can go wrong. Prints one line for each
// finding, "ok" at the end; what is checked is named by the first argument.
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asm.h>

static int own_id;
static _Atomic int wrong;

static void say(const char *name, long result) {
  printf("%s %ld %d\n", name, result, result < 0 ? errno : 0);
  fflush(stdout);
}

static int open_descriptors(void) {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

// Is the answer whole, and about the agent that was asked for? Else answers have been mixed up.
static bool is_about(int agent_id) {
  char buffer[4096], wanted[64];
  ssize_t length = asm_agent_info(agent_id, buffer, sizeof(buffer) - 1);
  if (length <= 0) return false;
  buffer[length] = '\0';
  snprintf(wanted, sizeof(wanted), "{\"agent_id\":%d,", agent_id);
  return strncmp(buffer, wanted, strlen(wanted)) == 0 && buffer[length - 1] == '}';
}

static void every_call(void) {
  char buffer[8192];
  ssize_t length = asm_telemetry(buffer, sizeof(buffer));
  printf("telemetry %d %c%c\n", length > 0, buffer[0], buffer[length - 1]);
  printf("agent_info %d\n", is_about(own_id));
  say("no such agent", asm_agent_info(4711, buffer, sizeof(buffer)));
  say("small room", asm_telemetry(buffer, 511));
  say("null room", asm_telemetry(NULL, 4096));
  say("bad room", asm_telemetry((char *)8192, 4096));
  say("heartbeat", asm_heartbeat());
  say("tool", asm_track_tool_call("search", 1500, 20));
  say("null tool", asm_track_tool_call(NULL, 0, 0));
  say("bad tool", asm_call(505, 8192, 10, 0, 0));
  say("huge tool", asm_call(505, (long)buffer, 1L << 40, 0, 0));
  say("negative credits", asm_track_tool_call("search", -1, 0));
  say("policy", asm_policy_patch(own_id, ASM_PATCH_ADD_CAPABILITY, 2));
  say("scope", asm_policy_scope(own_id, "/tmp"));
  say("null scope", asm_policy_scope(own_id, NULL));
  say("llm", asm_llm_request("{}", 2, buffer, sizeof(buffer)));
  say("lock", asm_lock("a", 10));
  say("unlock", asm_unlock("a"));
  say("profile", asm_profile_end("work", asm_profile_begin(), 1));
  say("compliance", asm_compliance_event("{}", 2));
  say("budget", asm_budget("{}", 2, buffer, sizeof(buffer)));
  say("dependency", asm_dependency(ASM_DEPENDENCY_ADD, 100, ASM_EDGE_PEER));
  say("below", asm_call(499, 0, 0, 0, 0));
  say("above", asm_call(512, 0, 0, 0, 0));
  say("doors", asm_set_doors((enum asm_doors)9));
  say("notify", asm_notify("STATUS=from C"));
  errno = 77;
  printf("errno %ld %d\n", (long)asm_heartbeat(), errno);
}

static void *call_often(void *rounds) {
  for (long i = 0; i < (long)rounds; i++) {
    int asked = i % 2 ? own_id : 100;
    if (!is_about(asked)) atomic_fetch_add(&wrong, 1);
    if (asm_track_tool_call("thread", 1, 1) != ASM_ACTION_ALLOW) atomic_fetch_add(&wrong, 1);
  }
  return NULL;
}

static void many_threads(void) {
  pthread_t threads[12];
  asm_heartbeat();
  int before = open_descriptors();
  for (int round = 0; round < 3; round++) {
    for (int i = 0; i < 12; i++) pthread_create(&threads[i], NULL, call_often, (void *)20L);
    for (int i = 0; i < 12; i++) pthread_join(threads[i], NULL);
  }
  printf("wrong %d\n", wrong);
  printf("kept %d\n", open_descriptors() - before <= 3);  // four in all
}

static void forks(void) {
  is_about(own_id);
  pid_t children[6];
  for (int i = 0; i < 6; i++) {
    children[i] = fork();
    if (children[i] == 0) {
      call_often((void *)25L);
      _exit(wrong != 0);
    }
  }
  call_often((void *)25L);
  for (int i = 0; i < 6; i++) {
    int status;
    waitpid(children[i], &status, 0);
    wrong += status != 0;
  }
  printf("wrong %d\n", wrong);
}

// A program that closes everything, and whose new descriptors get our old numbers.
static void closed_behind_its_back(void) {
  is_about(own_id);
  for (int fd = 3; fd < 64; fd++) close(fd);
  int strangers[8][2]; // whatever inode and number ours had, theirs come close
  for (int i = 0; i < 8; i++) {
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, strangers[i]) < 0) abort();
  }
  printf("answer %d\n", is_about(own_id));
  char byte;
  int touched = 0;
  for (int i = 0; i < 16; i++) touched += recv(strangers[i / 2][i % 2], &byte, 1, 0) >= 0;
  printf("touched %d\n", touched);
  for (int i = 0; i < 16; i++) touched += fcntl(strangers[i / 2][i % 2], F_GETFD) < 0;
  printf("closed %d\n", touched);
}

static _Atomic int alarms;

static void on_alarm(int number) {
  (void)number;
  int before = errno;
  if (asm_heartbeat() == 0) atomic_fetch_add(&alarms, 1);
  errno = before;
}

static void signals(void) {
  struct sigaction action = {.sa_handler = on_alarm};  // no SA_RESTART
  sigaction(SIGALRM, &action, NULL);
  struct itimerval often = {{0, 2000}, {0, 2000}};
  setitimer(ITIMER_REAL, &often, NULL);
  call_often((void *)100L);
  struct itimerval never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &never, NULL);
  printf("wrong %d\n", wrong);
  printf("alarms %d\n", alarms > 0);
}

// Calls without end. A call with an effect says so when its outcome is not known.
static void goes_away(void) {
  for (;;) {
    char buffer[4096];
    if (asm_telemetry(buffer, sizeof(buffer)) < 0) say("telemetry", -1);
    if (asm_track_tool_call("loop", 0, 1) < 0) say("tool", -1);
    usleep(500);
  }
}

static void allocations(void) {
  is_about(own_id);
  struct mallinfo2 before = mallinfo2();
  for (int i = 0; i < 100; i++) asm_heartbeat();
  struct mallinfo2 after = mallinfo2();
  printf("allocated %d\n", after.uordblks != before.uordblks);
}

// Whatever answers: no call may crash, hang, or write outside its room.
static void hostile(void) {
  struct {
    char before[64], room[1024], after[64];
  } guarded;
  int failed = 0;
  for (int i = 0; i < 300; i++) {
    memset(&guarded, 0x5a, sizeof(guarded));
    failed += asm_telemetry(guarded.room, sizeof(guarded.room)) < 0;
    failed += asm_llm_request("{}", 2, guarded.room, sizeof(guarded.room)) < 0;
    failed += asm_track_tool_call("search", 1, 1) < 0;
    for (size_t k = 0; k < sizeof(guarded.before); k++)
      if (guarded.before[k] != 0x5a || guarded.after[k] != 0x5a) abort();
  }
  printf("failed %d\n", failed > 0);
}

// The time of a call, in nanoseconds: the median of many.
static int by_value(const void *a, const void *b) {
  long first = *(const long *)a, second = *(const long *)b;
  return (first > second) - (first < second);
}

static void times(void) {
  static long took[400];
  for (int i = 0; i < 400; i++) {
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    asm_heartbeat();
    clock_gettime(CLOCK_MONOTONIC, &ended);
    took[i] = (ended.tv_sec - begun.tv_sec) * 1000000000L + ended.tv_nsec - begun.tv_nsec;
  }
  qsort(took, 400, sizeof(took[0]), by_value);
  printf("median %ld p99 %ld\n", took[200], took[396]);
}

int main(int count, char **arguments) {
  const char *id = getenv("ASM_AGENT_ID");
  own_id = id ? atoi(id) : 100;
  const char *wanted = count > 1 ? arguments[1] : "";
  if (strcmp(wanted, "calls") == 0) every_call();
  else if (strcmp(wanted, "threads") == 0) many_threads();
  else if (strcmp(wanted, "forks") == 0) forks();
  else if (strcmp(wanted, "closed") == 0) closed_behind_its_back();
  else if (strcmp(wanted, "signals") == 0) signals();
  else if (strcmp(wanted, "away") == 0) goes_away();
  else if (strcmp(wanted, "allocations") == 0) allocations();
  else if (strcmp(wanted, "hostile") == 0) hostile();
  else if (strcmp(wanted, "times") == 0) times();
  else return 2;
  puts("ok");
  return 0;
}
