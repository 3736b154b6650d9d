# SPDX-License-Identifier: Apache-2.0
"""GDB inside an enclave of Vigil: docs/debugging.md. Started by `vigil gdb`, which says in the environment what to run.

gdb debugs the host process. What it needs to be told: which signals are the machinery's, where the enclave's ELF files
lie (host/debugger.h), and how frames continue from the host's stack and the runtime's to the application's."""
import binascii
import ctypes
import os
import shlex
import struct

import gdb
import gdb.unwinder

HERE = os.path.dirname(os.path.abspath(__file__))
VERSION = 1
TICK_SIGNAL, KICK_SIGNAL = 35, 36        # SIGRTMIN+1 (softsgx), SIGRTMIN+2 (host)
ENTRY_OCALL = 3                          # enclave/tcb.h
FATAL_WITHOUT_STOP = {4: "SIGILL", 11: "SIGSEGV", 31: "SIGSYS"}  # what the machinery uses and gdb passes in silence
REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
             "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "eflags", "rip")
OCALL_SAVED = ("r15", "r14", "r13", "r12", "rbp", "rbx", "rip")  # what ocall_raw pushed, from the top
SGX_ATTR_DEBUG = 2
TCS_DBGOPTIN, TCS_AEXNOTIFY = 1, 2


def quiet(command):
    return gdb.execute(command, from_tty=False, to_string=True)


def memory(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def words(address, count):
    return struct.unpack("<%dQ" % count, memory(address, 8 * count))


def c_string(address):
    text = b""
    while b"\0" not in text:
        text += memory(address + len(text), 64 - (address + len(text)) % 64)  # never over the end of a page
    return text.split(b"\0")[0].decode(errors="surrogateescape")


def elf_entry(path):
    with open(path, "rb") as f:
        return struct.unpack_from("<Q", f.read(64), 24)[0]


def elf_code(path, address, size):
    """Up to size bytes of an ELF file at an address of its own."""
    with open(path, "rb") as f:
        header = f.read(64)
        offset, = struct.unpack_from("<Q", header, 32)
        entries = struct.unpack_from("<H", header, 56)[0]
        f.seek(offset)
        for kind, _, at, start, _, length, _, _ in struct.iter_unpack("<IIQQQQQQ", f.read(56 * entries)):
            if kind == 1 and start <= address < start + length:
                f.seek(at + address - start)
                return f.read(min(size, start + length - address))
    return b""


class Thread:
    """A thread's control structures in the enclave, read now."""

    def __init__(self, enclave, slot, tcs):
        self.enclave, self.slot, self.tcs = enclave, slot, tcs
        page = memory(tcs, 64)
        self.flags, = struct.unpack_from("<Q", page, 8)
        ossa, self.cssa, self.nssa = struct.unpack_from("<QII", page, 16)
        self.ssa = enclave.base + ossa
        self.tcb = enclave.base + struct.unpack_from("<Q", page, 56)[0]

    def field(self, *names):
        """A 64-bit field of struct tcb; None if this runtime has none of that name."""
        offset, kind = 0, self.enclave.tcb_type
        for name in names:
            found = [f for f in kind.fields() if f.name == name]
            if not found:
                return None
            offset, kind = offset + found[0].bitpos // 8, found[0].type.strip_typedefs()
        return int.from_bytes(memory(self.tcb + offset, min(kind.sizeof, 8)), "little")

    def offset(self, name):
        return self.tcb + next(f.bitpos // 8 for f in self.enclave.tcb_type.fields() if f.name == name)

    def gprsgx(self, frame):
        return self.ssa + (frame + 1) * self.enclave.ssa_frame - 184

    def armed(self):
        return memory(self.gprsgx(0) + 167, 1)[0] & 1

    def registers_at(self, address):
        return dict(zip(REGISTERS, words(address, len(REGISTERS))))

    def checkpoint(self):
        return self.registers_at(self.offset("ckpt"))

    def saved(self, frame):
        return self.registers_at(self.gprsgx(frame))

    def ocall_frame(self):
        """The registers of the function that called ocall_raw."""
        rsp = self.field("ocall_rsp")
        frame = dict(zip(OCALL_SAVED, words(rsp, len(OCALL_SAVED))))
        frame["rsp"] = rsp + 8 * len(OCALL_SAVED)
        return frame

    def on_stage1_stack(self, rsp):
        return self.ssa - self.enclave.stage1_stack <= rsp <= self.ssa


def same_code(got, want):
    """A software processor may have put jumps in the place of ENCLU (0F 01 D7, with room behind it)."""
    got = bytearray(got)
    at = want.find(b"\x0f\x01\xd7")
    while at >= 0:
        if got[at:at + 1] == b"\xe9":
            got[at:at + 5] = want[at:at + 5]
        at = want.find(b"\x0f\x01\xd7", at + 1)
    return bytes(got[:len(want)]) == want


class Enclave:
    """What struct vigil_debug says, and the symbols that were loaded for it."""
    FIELDS = ("version", "base", "size", "attributes", "ssa_frame", "stage1_stack", "app_end", "entry", "threads",
              "thread_count", "thread_size", "offset_tcs", "offset_tid", "scratch", "scratch_size", "object_count")

    def __init__(self):
        self.alive = False
        self.tcb_type = None
        self.runtime_start = self.gate = 0
        self.loaded = []   # (path, bias)

    def update(self):
        """The host has changed vigil_debug."""
        address = int(gdb.parse_and_eval("(unsigned long)&'host.vigil_debug'"))
        values = words(address, len(self.FIELDS))
        if values[0] != VERSION:
            raise gdb.GdbError("this vigil.py is for another version of vigil (%d, not %d)" % (VERSION, values[0]))
        self.__dict__.update(zip(self.FIELDS, values))
        if not self.attributes & SGX_ATTR_DEBUG:
            print("vigil: this is not a debug enclave, its inside cannot be debugged: set sgx.debug = true")
            return
        self.signal_return = gdb.parse_and_eval("(unsigned long)&'host.sigaction_return'")
        self.alive = True
        preloaded("vigil_gdb_enclave", ctypes.c_uint64(self.base), ctypes.c_uint64(self.size))
        table = words(address + 8 * len(self.FIELDS), 2 * self.object_count)
        for path, bias in zip(table[::2], table[1::2]):
            self.load(c_string(path), bias)
        if self.object_count and not self.runtime_start:
            self.load_runtime()

    def load(self, path, bias):
        """The program comes before the runtime: a name that both have is first of all the program's."""
        if (path, bias) in self.loaded:
            return
        self.loaded.append((path, bias))
        try:
            quiet("add-symbol-file %s -o %#x" % (shlex.quote(path), bias))
        except gdb.error as error:
            print("vigil: no symbols of %s: %s" % (path, error))

    def load_runtime(self):
        path = os.environ.get("VIGIL_GDB_RUNTIME", "")
        try:
            code = elf_code(path, elf_entry(path), 4096)
            if not same_code(memory(self.entry, len(code)), code):
                raise OSError("%s is not what this image was made of" % path)
        except OSError as error:
            print("vigil: no symbols of the runtime: %s" % error)
            return
        self.runtime_start = bias = self.entry - elf_entry(path)
        self.load(path, bias)
        objfile = gdb.lookup_objfile(os.path.basename(path))
        symbol = objfile.lookup_global_symbol("outside_enclave")  # any function whose file knows struct tcb
        block = gdb.block_for_pc(int(symbol.value().address)) if symbol else None
        try:
            self.tcb_type = gdb.lookup_type("struct tcb", block) if block else gdb.lookup_type("struct tcb")
        except gdb.error:
            print("vigil: the runtime was built without debug information: no frames beyond it")
        try:
            self.gate = int(gdb.parse_and_eval("(unsigned long)&syscall_gate"))
        except gdb.error:
            pass
        for breakpoint in gdb.breakpoints():
            prefer_application(breakpoint)
        catch_faults()

    def forget(self):
        """The process is gone. Its symbols go too: breakpoints are pending again until the program is loaded anew."""
        for path, bias in self.loaded:
            try:
                quiet("remove-symbol-file -a %#x" % (bias + elf_entry(path)))
            except (gdb.error, OSError):
                pass
        self.__init__()
        preloaded("vigil_gdb_enclave", ctypes.c_uint64(0), ctypes.c_uint64(0))

    def in_elrange(self, pc):
        return self.alive and self.base <= pc < self.base + self.size

    def in_application(self, pc):
        return self.alive and self.base <= pc < self.app_end

    def in_runtime(self, pc):
        return self.runtime_start and self.runtime_start <= pc < self.base + self.size

    def thread(self, lwp=None):
        """The Thread a host thread is entering with, None if it has no TCS (yet)."""
        if not self.alive:
            return None
        if lwp is None:
            lwp = gdb.selected_thread().ptid[1]
        table = memory(self.threads, self.thread_count * self.thread_size)
        for slot in range(self.thread_count):
            at = slot * self.thread_size
            if struct.unpack_from("<i", table, at + self.offset_tid)[0] == lwp:
                return Thread(self, slot, struct.unpack_from("<Q", table, at + self.offset_tcs)[0])
        return None


enclave = Enclave()


# ---- breakpoints ----------------------------------------------------------------------------------------------------
def prefer_application(breakpoint):
    """A name that the program and the runtime both have means the program's. The other locations stay, disabled."""
    if not breakpoint.is_valid() or not breakpoint.visible or not enclave.alive:
        return
    try:
        locations = [l for l in breakpoint.locations if l.address is not None]
    except (AttributeError, RuntimeError, gdb.error):
        return
    if any(enclave.in_application(l.address) for l in locations):
        for location in locations:
            if location.enabled and not enclave.in_application(location.address):
                location.enabled = False


class Loaded(gdb.Breakpoint):
    """The host says that something was loaded into the enclave."""

    def stop(self):
        try:
            enclave.update()
        except gdb.error as error:
            print("vigil: %s" % error)
        return False


class Fatal(gdb.Breakpoint):
    """The program ends by a signal that the machinery uses too, so that gdb passes it without a word."""

    def stop(self):
        name = FATAL_WITHOUT_STOP.get(int(gdb.parse_and_eval("$rdi")) & 0x7f)
        if not name or (name == "SIGSEGV" and fault_catcher()):
            return False
        print("\nProgram is about to be terminated by %s." % name)
        return True


class InApplication(gdb.Function):
    """$_vigil_in_application(): is the selected thread at an instruction of the application?"""

    def __init__(self):
        super().__init__("_vigil_in_application")

    def invoke(self):
        return 1 if enclave.in_application(int(gdb.parse_and_eval("(unsigned long)$pc"))) else 0


def catch_faults():
    """A SIGSEGV stops if the application raised it. Made late, so that the first breakpoint of the user is number 1,
    and once: it may be deleted."""
    if not catch_faults.done:
        quiet("catch signal SIGSEGV")
        quiet("condition $bpnum $_vigil_in_application()")
        catch_faults.done = True


catch_faults.done = False


def fault_catcher():
    return "SIGSEGV" in quiet("info breakpoints")


# ---- frames ---------------------------------------------------------------------------------------------------------
class FrameId:
    def __init__(self, sp, pc):
        self.sp, self.pc = sp, pc


class Border(gdb.unwinder.Unwinder):
    """Frames at the borders. From the host's innermost frame into the enclave: into the function that made the OCALL,
    or to where an AEX interrupted the thread. From the runtime's assembly to the application: by SSA[0] in stage 1,
    else by the checkpoint, which is the application's register file while the runtime runs.

    gdb wants stacks to grow in one direction except where a signal frame is between. So there is one: the caller of a
    border frame is the trap driver's return from a signal, with a context that is written for it."""
    CONTEXT_ORDER = ("r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "rdi", "rsi", "rbp", "rbx", "rdx", "rax",
                     "rcx", "rsp", "rip", "eflags")
    CONTEXT_OFFSET = 40    # of the registers in a ucontext
    CONTEXT_SIZE = 256

    def __init__(self):
        super().__init__("vigil")

    def __call__(self, pending):
        if not enclave.alive or not enclave.tcb_type or not enclave.scratch:
            return None
        pc, sp = (int(pending.read_register(r)) & (1 << 64) - 1 for r in ("rip", "rsp"))
        if enclave.in_application(pc):
            return None
        thread, place = enclave.thread(), 0
        try:
            if not thread:
                return None
            if not enclave.in_elrange(pc):
                caller = self.from_host(thread) if pending.level() == 0 else None
            elif pc == enclave.gate and thread.armed():
                return self.gate_frame(pending, pc, sp)
            elif enclave.in_runtime(pc) and self.is_assembly(pc):
                place, caller = self.from_runtime(thread, sp)
            else:
                return None
        except gdb.error:
            return None
        if not caller or not caller["rip"]:
            return None
        context = enclave.scratch + thread.slot * enclave.scratch_size + place * self.CONTEXT_SIZE
        values = [caller.get(name, 0) for name in self.CONTEXT_ORDER]
        gdb.selected_inferior().write_memory(context + self.CONTEXT_OFFSET, struct.pack("<%dQ" % len(values), *values))
        wide = gdb.selected_inferior().architecture().integer_type(64)
        info = pending.create_unwind_info(FrameId(gdb.Value(sp).cast(wide), gdb.Value(pc).cast(wide)))
        info.add_saved_register("rip", enclave.signal_return.cast(wide))
        info.add_saved_register("rsp", gdb.Value(context).cast(wide))
        return info

    @staticmethod
    def gate_frame(pending, pc, sp):
        """In front of the gate's first instruction the registers are still the program's; RCX says where it returns."""
        wide = gdb.selected_inferior().architecture().integer_type(64)
        info = pending.create_unwind_info(FrameId(gdb.Value(sp).cast(wide), gdb.Value(pc).cast(wide)))
        for name in REGISTERS:
            info.add_saved_register(name, pending.read_register("rcx" if name == "rip" else name))
        return info

    @staticmethod
    def is_assembly(pc):
        table = gdb.find_pc_line(pc).symtab
        return table is not None and table.filename.endswith(".S")

    @staticmethod
    def from_host(thread):
        if thread.cssa:
            return thread.saved(thread.cssa - 1)
        return thread.ocall_frame() if thread.field("entry_state") == ENTRY_OCALL else None

    @staticmethod
    def from_runtime(thread, sp):
        """And which of the thread's places to use for the context."""
        if thread.cssa == 1 and thread.on_stage1_stack(sp):
            return 1, thread.saved(0)
        return 2, thread.checkpoint()


# ---- commands -------------------------------------------------------------------------------------------------------
class Vigil(gdb.Command):
    """The enclave of the program that is being debugged: vigil status, vigil app-bt, vigil interrupts."""

    def __init__(self):
        super().__init__("vigil", gdb.COMMAND_STATUS, gdb.COMPLETE_NONE, True)


def current_thread():
    if not enclave.alive:
        raise gdb.GdbError("no enclave: the program is not running yet, or it is not a debug enclave")
    if not enclave.tcb_type:
        raise gdb.GdbError("no program in the enclave yet, or the runtime has no debug information")
    if not gdb.selected_thread():
        raise gdb.GdbError("no thread is selected")
    thread = enclave.thread()
    if not thread:
        raise gdb.GdbError("this thread has no TCS")
    return thread


def mode_of(thread, frame):
    pc, sp = frame.pc(), int(frame.read_register("rsp")) & (1 << 64) - 1
    if enclave.in_application(pc):
        return "application mode" if thread.armed() else "application memory with the armed bit clear"
    if enclave.in_elrange(pc):
        if thread.cssa and thread.on_stage1_stack(sp):
            return "stage 1"
        return "the restartable resume" if thread.armed() else "runtime mode"
    if thread.cssa:
        return "outside, after an AEX in " + ("application mode" if thread.armed() else "runtime mode")
    return "outside, in an OCALL" if thread.field("entry_state") == ENTRY_OCALL else "outside, or in the trap driver"


class Status(gdb.Command):
    """The selected thread's enclave state: TCS, CSSA, armed bit, notifications, mode and checkpoint.
In application mode the checkpoint is what the thread was last resumed with."""

    def __init__(self):
        super().__init__("vigil status", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        thread = current_thread()
        on = thread.flags & TCS_AEXNOTIFY
        print("thread %d: %s" % (gdb.selected_thread().num, mode_of(thread, gdb.newest_frame())))
        print("TCS            %#x, slot %d, CSSA %d of %d, DBGOPTIN %d" % (
            thread.tcs, thread.slot, thread.cssa, thread.nssa, thread.flags & TCS_DBGOPTIN))
        print("AEX-Notify     %s, SSA[0].AEXNOTIFY (armed) %d" % ("on" if on else "off", thread.armed()))
        counts = [(n, thread.field(n)) for n in ("notifications", "coalesced", "delivered")]
        print(", ".join("%s %d" % c for c in counts if c[1] is not None))
        registers = thread.checkpoint()
        for row in (REGISTERS[i:i + 4] for i in range(0, len(REGISTERS), 4)):
            print("%-14s " % ("checkpoint" if row[0] == "rax" else "") +
                  "  ".join("%-6s 0x%016x" % (r, registers[r]) for r in row))


class ApplicationBacktrace(gdb.Command):
    """The application's part of the backtrace, wherever the selected thread is."""

    def __init__(self):
        super().__init__("vigil app-bt", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        current_thread()
        selected, frame = gdb.selected_frame(), gdb.newest_frame()
        while frame and not enclave.in_application(frame.pc()):
            frame = frame.older()
        if not frame:
            raise gdb.GdbError("the application has not run yet in this thread")
        try:
            while frame:
                frame.select()
                print(quiet("frame").splitlines()[0])
                frame = frame.older()
        finally:
            selected.select()


class Interrupts(gdb.Command):
    """vigil interrupts hold|deliver: while gdb steps an instruction, the tick waits (hold, the default) or may come in
the middle (deliver). With deliver, hit counts of breakpoints also count the returns from interrupts."""

    def __init__(self):
        super().__init__("vigil interrupts", gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        if argument not in ("hold", "deliver"):
            raise gdb.GdbError("vigil interrupts hold, or vigil interrupts deliver")
        hold_interrupts(argument == "hold")


def preloaded(function, *arguments):
    """Calls the library that `vigil gdb` preloads (tools/gdb/preload.c)."""
    try:
        getattr(ctypes.CDLL(None), function)(*arguments)
    except AttributeError:
        print("vigil: start gdb by `vigil gdb`: without it no breakpoint can be set in the enclave")


def hold_interrupts(on):
    preloaded("vigil_gdb_hold", TICK_SIGNAL if on else 0)


# ---- start ----------------------------------------------------------------------------------------------------------
def set_up():
    # In enclave mode an instruction works only where it is, and while FS is the enclave's libthread_db sees nonsense.
    # `step` at a system call through the gate stays in the program.
    quiet("skip -gfile */enclave/*.S")
    for setting in ("displaced-stepping off", "auto-solib-add off", "breakpoint pending on",
                    "libthread-db-search-path /nonexistent"):
        quiet("set " + setting)
    # #UD on ENCLU, `syscall` in the enclave, faults (with the catchpoint below), the tick, wake-ups between threads.
    for name in ("SIGILL", "SIGSYS", "SIGSEGV", "SIG%d" % TICK_SIGNAL, "SIG%d" % KICK_SIGNAL):
        quiet("handle %s nostop noprint pass" % name)
    InApplication()
    Border.instance = Border()
    gdb.unwinder.register_unwinder(None, Border.instance, replace=True)
    Vigil()
    Status()
    ApplicationBacktrace()
    Interrupts()
    hold_interrupts(True)
    gdb.events.breakpoint_created.connect(prefer_application)
    gdb.events.exited.connect(lambda event: enclave.forget())


def set_environment():
    """The program sees the environment it would see without gdb."""
    original = os.environ.get("VIGIL_GDB_PRELOAD", "")
    quiet("set environment LD_PRELOAD %s" % original if original else "unset environment LD_PRELOAD")
    for name in ("LINES", "COLUMNS", "VIGIL_GDB_PRELOAD", "VIGIL_GDB_RUNTIME", "VIGIL_GDB_COMMAND", "VIGIL_GDB_ARGV",
                 "VIGIL_GDB_PID"):
        quiet("unset environment " + name)


def set_command():
    """What `vigil gdb` was asked to run."""
    arguments = binascii.unhexlify(os.environ["VIGIL_GDB_ARGV"]).split(b"\0")[:-1]
    line = " ".join(shlex.quote(a.decode(errors="surrogateescape")) for a in arguments)
    if "\n" in line:
        raise gdb.GdbError("vigil: an argument with a newline cannot be passed through gdb")
    quiet("exec-file " + shlex.quote(os.environ["VIGIL_GDB_COMMAND"]))
    quiet("symbol-file " + shlex.quote(os.path.join(HERE, "vigil-host.symbols")))
    quiet("set args " + line)
    if "VIGIL_GDB_PID" in os.environ:
        gdb.execute("attach " + os.environ["VIGIL_GDB_PID"])
        enclave.update()
    loaded, fatal = Loaded("host.vigil_debug_changed", internal=True), Fatal("host.host_die_of_signal", internal=True)
    loaded.silent = fatal.silent = True


set_up()
set_environment()
if "VIGIL_GDB_ARGV" in os.environ:
    set_command()
