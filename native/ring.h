// FUSE over io_uring: one ring of a thread, its entries, batches of requests out of their completions and of answers into
// their next submissions. An entry's memory is its header block, room for the head of a message, and its payload. What has
// come is made one piece by moving its structs up against the payload, which stays where it is.
#pragma once
#include <linux/io_uring.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "args.h"
#include "clock.h"
#include "linux.h"

namespace lamina {

/** fuse_in_header, fuse_out_header, and the largest struct of an operation. */
constexpr size_t kInHeader = 40;
constexpr size_t kOutHeader = 16;
constexpr size_t kMostOp = sizeof FuseRingHeader::op;
constexpr size_t kHead = kRingEntryHead;
static_assert(kHead >= sizeof(FuseRingHeader) + kInHeader + kMostOp);
constexpr size_t kSqe = 128;
/** Words of one request or failure in what `take` fills. */
constexpr size_t kTaken = 3;

inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

inline uint32_t acquire(const uint32_t* from) { return __atomic_load_n(from, __ATOMIC_ACQUIRE); }

/** Memory of the kernel's, shared until it is dropped. */
class Mapping {
 public:
  Mapping(int fd, size_t size, off_t offset)
      : size_(size), at_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset)) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() {
    if (ok()) munmap(at_, size_);
  }
  bool ok() const { return at_ != MAP_FAILED; }
  template <typename T>
  T* part(size_t offset) const {
    return reinterpret_cast<T*>(static_cast<uint8_t*>(at_) + offset);
  }

 private:
  size_t size_;
  void* at_;
};

class Ring {
 public:
  ~Ring() { close(); }

  /** 0, or -errno. Completions that find no room wait in the kernel, so `entries` bounds a batch and nothing else. */
  int64_t open(unsigned entries) {
    io_uring_params params{};
    // Without DEFER_TASKRUN a request that comes would interrupt whatever system call this thread is in.
    params.flags = IORING_SETUP_SQE128 | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                   IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
    fd_ = static_cast<int>(syscall(SYS_io_uring_setup, entries, &params));
    if (fd_ < 0) return -errno;
    if ((params.features & IORING_FEAT_SINGLE_MMAP) == 0) return -ENOSYS;
    const size_t sqBytes = params.sq_off.array + params.sq_entries * sizeof(uint32_t);
    const size_t cqBytes = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
    rings_ = std::make_unique<Mapping>(fd_, std::max(sqBytes, cqBytes), IORING_OFF_SQ_RING);
    if (!rings_->ok()) return -errno;
    sqes_ = std::make_unique<Mapping>(fd_, params.sq_entries * kSqe, IORING_OFF_SQES);
    if (!sqes_->ok()) return -errno;
    sqEntries_ = params.sq_entries;
    sqTail_ = rings_->part<uint32_t>(params.sq_off.tail);
    sqFlags_ = rings_->part<uint32_t>(params.sq_off.flags);
    cqHead_ = rings_->part<uint32_t>(params.cq_off.head);
    cqTail_ = rings_->part<uint32_t>(params.cq_off.tail);
    cqFlags_ = rings_->part<uint32_t>(params.cq_off.flags);
    cqMask_ = params.cq_entries - 1;
    cqes_ = rings_->part<io_uring_cqe>(params.cq_off.cqes);
    auto* array = rings_->part<uint32_t>(params.sq_off.array);
    for (uint32_t i = 0; i < sqEntries_; i++) array[i] = i;
    // A ring's own descriptor is readable only after the kernel was entered for what has come.
    bell_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (bell_ < 0) return -errno;
    return result(syscall(SYS_io_uring_register, fd_, IORING_REGISTER_EVENTFD, &bell_, 1));
  }

  /** The kernel cancels what entries there still are. */
  void close() {
    if (fd_ >= 0) ::close(fd_);
    if (bell_ >= 0) ::close(bell_);
    fd_ = bell_ = -1;
    rings_.reset();
    sqes_.reset();
  }

  /** Readable while there is something to take that the last `take`, which found nothing, has not seen. */
  int bell() const { return bell_; }
  bool isOpen() const { return fd_ >= 0; }

  /** Registers `count` entries for `queue`, of equal parts of `memory`; returns the number of this block of entries. */
  int64_t add(int fuseFd, unsigned queue, Bytes memory, unsigned count) {
    const size_t stride = count == 0 ? 0 : memory.size / count & ~static_cast<size_t>(7);
    if (queue > UINT16_MAX || stride <= kHead || memory.size > INT32_MAX) return -EINVAL;
    if (reinterpret_cast<uintptr_t>(memory.data) % 8 != 0) return -EINVAL;
    const auto block = static_cast<uint32_t>(blocks_.size());
    blocks_.push_back(memory.data);
    for (unsigned i = 0; i < count; i++) {
      entries_.push_back({memory.data + i * stride, stride - kHead, 0, fuseFd, block, queue, State::kNew});
      const int64_t rc = command(static_cast<uint32_t>(entries_.size() - 1), kFuseRingRegister);
      if (rc < 0) return rc;
    }
    const int64_t rc = enter();
    return rc < 0 ? rc : block;
  }

  /** Makes the messages answers; results[i] is the block of the request that was answered, or -1 for none of ours. */
  int64_t reply(Bytes buffer, Ints ends, int count, Ints results) {
    if (count < 0 || static_cast<size_t>(count) > std::min(ends.size, results.size)) return -EINVAL;
    int32_t at = 0;
    for (int i = 0; i < count; i++) {
      const int32_t end = ends.data[i];
      const uint8_t* message = buffer.part(at, static_cast<int64_t>(end) - at);
      if (message == nullptr || end - at < static_cast<int32_t>(kOutHeader)) return -EINVAL;
      const int64_t rc = answer(message, static_cast<size_t>(end - at), &results.data[i]);
      if (rc < 0) return rc;
      at = end;
    }
    return 0;
  }

  /**
   * Sends what waits to be sent, then takes what has come into triples: {block, start, end} of a request in its block's
   * memory, or {-1 - block, errno, was it being registered?} of an entry that is no more.
   */
  int64_t take(Ints out, int64_t spinMicros) {
    if (!isOpen()) return -EBADF;
    stopListening();
    if (pending_ > 0 || kernelHasWork()) {
      if (const int64_t rc = enter(); rc < 0) return rc;
    }
    if (spinMicros > 0 && !hasCompletion()) await(spinMicros);
    if (const int64_t count = found(out); count != 0) return count;
    listen();
    // What came before the bell could ring for it.
    const int64_t late = found(out);
    if (late > 0) stopListening();
    return late;
  }

  /** Sends what waits to be sent. */
  int64_t submit() {
    if (!isOpen()) return -EBADF;
    return pending_ > 0 ? enter() : 0;
  }

 private:
  enum class State : uint8_t { kNew, kWaiting, kHeld, kGone };

  struct Entry {
    uint8_t* memory;
    size_t payloadRoom;
    uint64_t unique;
    int fuseFd;
    uint32_t block;
    unsigned queue;
    State state;
    FuseRingHeader* header() const { return reinterpret_cast<FuseRingHeader*>(memory); }
    uint8_t* payload() const { return memory + kHead; }
  };

  bool hasCompletion() const { return acquire(cqTail_) != *cqHead_; }
  bool kernelHasWork() const { return (acquire(sqFlags_) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0; }

  void listen() {
    __atomic_store_n(cqFlags_, 0, __ATOMIC_SEQ_CST);
    listening_ = true;
  }

  void stopListening() {
    if (!listening_) return;
    listening_ = false;
    __atomic_store_n(cqFlags_, IORING_CQ_EVENTFD_DISABLED, __ATOMIC_SEQ_CST);
    uint64_t rings;
    // What it says does not matter, nor whether it has rung.
    if (read(bell_, &rings, sizeof rings) < 0) return;
  }

  void await(int64_t micros) const {
    const int64_t end = nowMicros() + micros;
    do {
      for (int i = 0; i < 16; i++) {
        if (kernelHasWork() || hasCompletion()) return;
        relax();
      }
    } while (nowMicros() < end);
  }

  /** Submits, and lets the kernel post what is due. */
  int64_t enter() {
    do {
      const long rc = syscall(SYS_io_uring_enter, fd_, pending_, 0, IORING_ENTER_GETEVENTS, nullptr, 0);
      if (rc >= 0) {
        pending_ -= std::min(pending_, static_cast<uint32_t>(rc));
        if (rc == 0) break;
      } else if (errno != EINTR) {
        return -errno;
      }
    } while (pending_ > 0);
    return pending_ > 0 ? -EAGAIN : 0;
  }

  int64_t command(uint32_t index, uint32_t operation) {
    if (pending_ == sqEntries_) {
      if (const int64_t rc = enter(); rc < 0) return rc;
    }
    const Entry& entry = entries_[index];
    const uint32_t tail = *sqTail_;
    auto* sqe = sqes_->part<io_uring_sqe>((tail & (sqEntries_ - 1)) * kSqe);
    memset(sqe, 0, kSqe);
    sqe->opcode = IORING_OP_URING_CMD;
    sqe->fd = entry.fuseFd;
    sqe->cmd_op = operation;
    sqe->user_data = index;
    if (operation == kFuseRingRegister) {
      iovecs_.resize(2 * sqEntries_);
      iovec* parts = &iovecs_[2 * (tail & (sqEntries_ - 1))];
      parts[0] = {entry.header(), sizeof(FuseRingHeader)};
      parts[1] = {entry.payload(), entry.payloadRoom};
      sqe->addr = reinterpret_cast<uintptr_t>(parts);
      sqe->len = 2;
    }
    const FuseRingCommand request{0, entry.unique, static_cast<uint16_t>(entry.queue), {}};
    memcpy(sqe->cmd, &request, sizeof request);
    __atomic_store_n(sqTail_, tail + 1, __ATOMIC_RELEASE);
    pending_++;
    return 0;
  }

  int64_t answer(const uint8_t* message, size_t length, int32_t* block) {
    uint64_t unique;
    memcpy(&unique, message + 8, sizeof unique);
    // Few requests are held at one time, and the oldest of a batch is answered first.
    const auto asked = [&](uint32_t index) { return entries_[index].unique == unique; };
    const auto held = std::find_if(held_.begin(), held_.end(), asked);
    *block = -1;
    if (held == held_.end()) return 0;
    const uint32_t index = *held;
    Entry& entry = entries_[index];
    const size_t body = length - kOutHeader;
    if (body > entry.payloadRoom) return -EMSGSIZE;
    held_.erase(held);
    *block = static_cast<int32_t>(entry.block);
    memcpy(entry.header()->inOut, message, kOutHeader);
    memcpy(entry.payload(), message + kOutHeader, body);
    entry.header()->payloadBytes = static_cast<uint32_t>(body);
    entry.state = State::kWaiting;
    return command(index, kFuseRingCommitAndFetch);
  }

  /** What has come, lets the kernel finish it where it has to. */
  int64_t found(Ints out) {
    if (!hasCompletion() && kernelHasWork()) {
      if (const int64_t rc = enter(); rc < 0) return rc;
    }
    return reap(out);
  }

  int64_t reap(Ints out) {
    const uint32_t most = static_cast<uint32_t>(out.size / kTaken);
    const uint32_t tail = acquire(cqTail_);
    uint32_t head = *cqHead_;
    uint32_t count = 0;
    for (; head != tail && count < most; head++, count++) {
      const io_uring_cqe& done = cqes_[head & cqMask_];
      took(static_cast<uint32_t>(done.user_data), done.res, out.data + count * kTaken);
    }
    __atomic_store_n(cqHead_, head, __ATOMIC_RELEASE);
    return count;
  }

  void took(uint32_t index, int32_t result, int32_t* out) {
    Entry& entry = entries_[index];
    if (result < 0) {
      out[0] = -1 - static_cast<int32_t>(entry.block);
      out[1] = -result;
      out[2] = entry.state == State::kNew ? 1 : 0;
      entry.state = State::kGone;
      return;
    }
    const FuseRingHeader* header = entry.header();
    uint32_t length;
    memcpy(&length, header->inOut, sizeof length);
    memcpy(&entry.unique, header->inOut + 8, sizeof entry.unique);
    const size_t payload = std::min<size_t>(header->payloadBytes, entry.payloadRoom);
    const size_t rest = length - std::min<size_t>(length, kInHeader + payload);
    const size_t op = std::min<size_t>(rest, kMostOp) & ~static_cast<size_t>(7);
    memcpy(entry.payload() - op, header->op, op);
    memcpy(entry.payload() - op - kInHeader, header->inOut, kInHeader);
    entry.state = State::kHeld;
    held_.push_back(index);
    const auto at = static_cast<int32_t>(entry.payload() - blocks_[entry.block]);
    out[0] = static_cast<int32_t>(entry.block);
    out[1] = at - static_cast<int32_t>(op + kInHeader);
    out[2] = at + static_cast<int32_t>(payload);
  }

  int fd_ = -1;
  int bell_ = -1;
  /** Does the bell ring? */
  bool listening_ = true;
  std::unique_ptr<Mapping> rings_;
  std::unique_ptr<Mapping> sqes_;
  uint32_t sqEntries_ = 0;
  uint32_t cqMask_ = 0;
  uint32_t* sqTail_ = nullptr;
  const uint32_t* sqFlags_ = nullptr;
  uint32_t* cqFlags_ = nullptr;
  uint32_t* cqHead_ = nullptr;
  const uint32_t* cqTail_ = nullptr;
  const io_uring_cqe* cqes_ = nullptr;
  /** Commands in the submission queue that the kernel has not been told of. */
  uint32_t pending_ = 0;
  std::vector<Entry> entries_;
  std::vector<uint8_t*> blocks_;
  /** Entries whose request waits for its answer, in the order of arrival. */
  std::vector<uint32_t> held_;
  /** Of registrations on their way; the kernel reads them while it is told. */
  std::vector<iovec> iovecs_;
};

}  // namespace lamina
