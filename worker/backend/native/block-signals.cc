// oneDNN's matrix products for AVX-512 move the stack pointer to the start of a buffer on the heap while they compute. The
// kernel puts the frame of a signal's handler below the stack pointer: there, onto the heap. So no signal may reach a thread
// that computes. The thread that loads this addon blocks them all, and those that it starts inherit that; the others of a
// process (V8 has some at all times) still take them, and libuv's handler tells the event loop from whichever thread.
#include <pthread.h>
#include <signal.h>

#include <initializer_list>

__attribute__((constructor)) static void BlockSignals() {
  sigset_t signals;
  sigfillset(&signals);
  // What a fault of the thread itself raises cannot wait.
  for (int fault : {SIGABRT, SIGBUS, SIGFPE, SIGILL, SIGSEGV, SIGSYS, SIGTRAP}) sigdelset(&signals, fault);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
}
